#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/cli/examination.h"
#include "receiver/net/address.h"
#include "receiver/net/certificate.h"

#define DAY_NS             (24 * INT64_C(3600) * NS_PER_S)
#define CERTIFICATE_DAYS   14 /* left: then it is time */
#define SECRET_LEAST_BYTES 16

/* --- modes --- */

static bool
examine_owner(struct examination *examination, const char *check, const char *path,
              const struct stat *file)
{
	if (file->st_uid == 0 || file->st_uid == geteuid() || file->st_uid == examination->owner) {
		return true;
	}
	found_wrong(examination, check, "chown it to root, or to the user of the service",
	            "%s belongs to uid %u, which is neither root nor the service's user", path,
	            (unsigned)file->st_uid);
	return false;
}

/* Who may write to a directory may put another file in the place of any in it. */
static bool
examine_directories(struct examination *examination, const char *check, const char *path)
{
	char *directory = memory_text(path);
	char *slash;
	bool good = true;
	while (good && (slash = strrchr(directory, '/')) != NULL && slash != directory) {
		struct stat status;
		*slash = '\0';
		bool open = stat(directory, &status) == 0 && (status.st_mode & S_IWOTH) != 0 &&
		            (status.st_mode & S_ISVTX) == 0;
		if (open) {
			found_wrong(
				examination, check, "chmod o-w the directory",
				"everybody can replace %s: its directory %s can be written by all (mode %04o)",
				path, directory, (unsigned)status.st_mode & 07777U);
			good = false;
		}
	}
	free(directory);
	return good;
}

bool
examine_mode(struct examination *examination, const char *check, const char *path)
{
	struct stat file;
	char remedy[4200];
	if (stat(path, &file) != 0) {
		return true; /* the configuration's own check has told that */
	}
	(void)snprintf(remedy, sizeof(remedy), "chmod u=rw,g=r,o= '%.4000s'", path);
	if ((file.st_mode & (S_IROTH | S_IWOTH)) != 0) {
		found_wrong(examination, check, remedy, "%s: everybody can %s it (mode %04o)", path,
		            (file.st_mode & S_IWOTH) != 0 ? "change" : "read",
		            (unsigned)file.st_mode & 07777U);
		return false;
	}
	if ((file.st_mode & S_IWGRP) != 0) {
		found_wrong(examination, check, remedy, "%s: its group can change it (mode %04o)",
		            path, (unsigned)file.st_mode & 07777U);
		return false;
	}
	return examine_owner(examination, check, path, &file) &&
	       examine_directories(examination, check, path);
}

struct count {
	size_t files;
	size_t bad;
};

/* What only the service's own environment has. */
static void
examine_unseen(struct examination *examination, const struct secret_settings *secret,
               const char *whose)
{
	if (secret->env != NULL && !secret_is_variable(secret->env)) {
		found_note(examination, "secrets",
		           "%s: $%s is not in this environment; the service's may have it", whose,
		           secret->env);
	} else if (secret->credential != NULL && getenv("CREDENTIALS_DIRECTORY") == NULL) {
		found_note(examination, "secrets",
		           "%s: the credential %s is for the service alone to see", whose,
		           secret->credential);
	}
}

static void
examine_secret_file(struct examination *examination, const struct config *config, const char *file,
                    struct count *count)
{
	if (file == NULL) {
		return;
	}
	char *path = config_path(config, file);
	count->files++;
	count->bad += examine_mode(examination, "secrets", path) ? 0 : 1;
	free(path);
}

static void
examine_strength(struct examination *examination, const struct source *source)
{
	for (size_t i = 0; i < source->secrets.count; i++) {
		if (source->secrets.items[i].size < SECRET_LEAST_BYTES) {
			found_note(
				examination, "secrets",
				"source %s: secret %zu has %zu bytes; at least %d are hard to guess: openssl rand -hex 32",
				source->name, i + 1, source->secrets.items[i].size,
				SECRET_LEAST_BYTES);
		}
		if (!secret_live(&source->secrets.items[i], examination->now_ns)) {
			found_note(examination, "secrets",
			           "source %s: secret %zu is over; it can be taken out",
			           source->name, i + 1);
		}
	}
}

static void
examine_config_file(struct examination *examination, const struct config *config,
                    struct count *count)
{
	struct stat file;
	if (stat(config->file, &file) == 0 && (file.st_mode & S_IWOTH) != 0) {
		found_wrong(examination, "configuration", "chmod o-w the file",
		            "%s: everybody can change it, and with it what programs run",
		            config->file);
		count->bad++;
	}
}

void
examine_secrets(struct examination *examination, const struct config *config)
{
	struct count count = { 0 };
	examine_config_file(examination, config, &count);
	for (size_t i = 0; i < config->source_count; i++) {
		const struct source *source = &config->sources[i];
		const struct secret_settings *secrets = source->settings->secrets.items;
		for (size_t j = 0; j < source->settings->secrets.count; j++) {
			examine_secret_file(examination, config, secrets[j].file, &count);
			examine_unseen(examination, &secrets[j], source->name);
		}
		examine_secret_file(examination, config, source->settings->verify_token.file,
		                    &count);
		examine_secret_file(examination, config, source->settings->client_secret.file,
		                    &count);
		examine_strength(examination, source);
	}
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		const struct handler_secret *secret =
			handler->kind->secret == NULL
				? NULL
				: handler->kind->secret((void *)(uintptr_t)handler->kind_settings);
		examine_secret_file(examination, config, secret == NULL ? NULL : secret->file,
		                    &count);
	}
	const struct admin_settings *admin = config->settings.admin.items;
	for (size_t i = 0; i < config->settings.admin.count; i++) {
		examine_secret_file(examination, config, admin[i].token.file, &count);
	}
	const struct listen_settings *listen = config->settings.listen.items;
	for (size_t i = 0; i < config->settings.listen.count; i++) {
		examine_secret_file(examination, config, listen[i].key, &count);
	}
	if (count.bad == 0) {
		found_good(examination, "secrets", "%zu files, closed to others", count.files);
	}
}

/* --- certificates --- */

static bool
on_loopback(const struct listen_settings *listen)
{
	struct address address;
	struct error err;
	return address_parse(span_of(listen->https), &address, &err) && address_loopback(&address);
}

static void
examine_time(struct examination *examination, const char *path,
             const struct certificate *certificate)
{
	static const char remedy[] =
		"renew it; the service takes the new pair by itself within seconds, or at once with SIGHUP";
	int64_t left = (certificate->ends_ns - examination->now_ns) / DAY_NS;
	char when[CLOCK_TEXT_BYTES];
	clock_text(certificate->ends_ns, when);
	if (certificate->ends_ns <= examination->now_ns) {
		found_wrong(examination, "certificate", remedy, "%s ended at %s: senders refuse it",
		            path, when);
	} else if (certificate->begins_ns > examination->now_ns) {
		clock_text(certificate->begins_ns, when);
		found_wrong(examination, "certificate", "set the clock, or wait", "%s begins at %s",
		            path, when);
	} else if (left < CERTIFICATE_DAYS) {
		found_wrong(examination, "certificate", remedy, "%s: %lld days left", path,
		            (long long)left);
	} else {
		found_good(examination, "certificate", "%s: %lld days left", path, (long long)left);
	}
}

static void
examine_certificate(struct examination *examination, const struct listen_settings *listen,
                    const char *path)
{
	struct certificate certificate;
	struct error err;
	if (!certificate_look(path, &certificate, &err)) {
		found_wrong(examination, "certificate", NULL, "%s", err.text);
		return;
	}
	examine_time(examination, path, &certificate);
	if (!certificate.has_names) {
		found_wrong(examination, "certificate",
		            "make one with the host as a subjectAltName",
		            "%s has no subjectAltName: senders look at nothing else", path);
	}
	if (certificate.distrust[0] == '\0') {
		found_good(examination, "certificate",
		           "%s: its chain reaches a root of this machine", path);
	} else if (on_loopback(listen)) {
		found_note(examination, "certificate", "%s: %s; good enough on loopback", path,
		           certificate.distrust);
	} else {
		found_wrong(
			examination, "certificate",
			certificate.self_signed
				? "get one from an authority that senders know, or switch their verification off"
				: "append the intermediate certificates to the file, leaf first",
			"%s: %s", path, certificate.distrust);
	}
}

void
examine_certificates(struct examination *examination, const struct config *config)
{
	const struct listen_settings *listen = config->settings.listen.items;
	for (size_t i = 0; i < config->settings.listen.count; i++) {
		if (listen[i].https == NULL) {
			continue;
		}
		char *path = config_path(config, listen[i].certificate);
		examine_certificate(examination, &listen[i], path);
		free(path);
	}
}

/* --- programs --- */

/* As execvp(3) would find it; *ret is the caller's. */
static bool
find_program(const struct config *config, const char *program, char **ret)
{
	if (strchr(program, '/') != NULL) {
		*ret = config_path(config, program);
		return access(*ret, X_OK) == 0;
	}
	const char *path = getenv("PATH");
	char *all = memory_text(path == NULL ? "/usr/bin:/bin" : path);
	char *rest = NULL;
	bool found = false;
	*ret = NULL;
	for (char *place = strtok_r(all, ":", &rest); place != NULL && !found;
	     place = strtok_r(NULL, ":", &rest)) {
		struct buffer text;
		buffer_init(&text, 65536);
		buffer_format(&text, "%s/%s", place, program);
		free(*ret);
		*ret = buffer_steal(&text);
		found = access(*ret, X_OK) == 0;
	}
	free(all);
	return found;
}

void
examine_programs(struct examination *examination, const struct config *config)
{
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		if (handler->kind->program == NULL) {
			continue;
		}
		const char *program = handler->kind->program(handler->kind_settings);
		char *path = NULL;
		struct stat file;
		if (!find_program(config, program, &path)) {
			bool there = path != NULL && stat(path, &file) == 0;
			found_wrong(examination, "handlers",
			            there ? "chmod +x it"
			                  : "install it, or correct the path under exec",
			            "%s: %s %s", handler->name, program,
			            there ? "cannot be run" : "is not there");
		} else if (stat(path, &file) == 0 && S_ISDIR(file.st_mode)) {
			found_wrong(examination, "handlers", "name the program in it",
			            "%s: %s is a directory", handler->name, path);
		} else if ((file.st_mode & S_IWOTH) != 0) {
			found_wrong(examination, "handlers", "chmod o-w it",
			            "%s: everybody can change %s", handler->name, path);
		} else {
			(void)examine_directories(examination, "handlers", path);
			found_good(examination, "handlers", "%s: %s", handler->name, path);
		}
		free(path);
	}
}
