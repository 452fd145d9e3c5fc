/* init NAME: writes a source for a provider into the configuration, with a fresh secret where the receiver chooses it.
 * Text is put in behind the line `sources:`; everything else in the file stays as it is, comments too. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/cli/block.h"
#include "receiver/cli/command.h"
#include "receiver/cli/offline.h"

#define CONFIG_MOST_BYTES DOCUMENT_MOST_BYTES
#define NEW_FILE          "hooklatch.yaml"

struct init {
	const struct preset *preset;
	const char *source;
	char *file;
	char *directory; /* the file's, with a slash at its end */
	bool fresh;      /* the file is made anew */
};

static char *
joined(const char *a, const char *b)
{
	struct buffer text;
	buffer_init(&text, 65536);
	buffer_format(&text, "%s%s", a, b);
	return buffer_steal(&text);
}

/* --- the text --- */

static void
new_file(const struct init *init, struct buffer *out)
{
	buffer_text(
		out,
		"# hooklatch.yaml(5) tells every key; `hooklatch config check` looks at this file.\n"
		"listen:\n"
		"  - https: \"0.0.0.0:8443\"\n"
		"    certificate: tls/cert.pem\n"
		"    key: tls/key.pem\n"
		"sources:\n");
	block_write(init->preset, init->source, 2, out);
	buffer_format(out, "handlers:\n  note:\n    on: [ \"%s/*\" ]\n    log: {}\n", init->source);
}

/* With the line ends of the file. */
static void
append_lines(struct buffer *out, struct span lines, bool crlf)
{
	for (size_t i = 0; i < lines.size; i++) {
		if (crlf && lines.data[i] == '\n') {
			buffer_byte(out, '\r');
		}
		buffer_byte(out, lines.data[i]);
	}
}

static void
show_block(const struct init *init)
{
	struct buffer block;
	buffer_init(&block, 65536);
	buffer_text(&block, "sources:\n");
	block_write(init->preset, init->source, 2, &block);
	(void)fwrite(block.data, 1, block.size, stdout);
	buffer_finish(&block);
}

/* Where a place is in the text. */
static size_t
offset_of(struct span text, struct place place)
{
	size_t at = 0;
	for (int line = 1; line < place.line && at < text.size; at++) {
		line += text.data[at] == '\n' ? 1 : 0;
	}
	return at + (size_t)place.column - 1;
}

/* Whether a map is written with braces: before its first key there is one, and not only space and comments. */
static bool
is_flow(struct span text, const struct node *map)
{
	size_t end = offset_of(text, map->first->key_place);
	bool comment = false;
	for (size_t at = offset_of(text, map->key_place); at < end && at < text.size; at++) {
		comment = text.data[at] == '\n' ? false : comment || text.data[at] == '#';
		if (!comment && text.data[at] == '{') {
			return true;
		}
	}
	return map->first->key_place.line <= map->key_place.line;
}

/* Behind the line of `sources:`; false after telling why not. */
static bool
insert_block(const struct init *init, const struct config *config, struct buffer *out)
{
	const struct node *sources = node_child(config->root, "sources");
	struct span text = config->text;
	if (sources == NULL || sources->first == NULL || is_flow(text, sources)) {
		complain("%s: `sources` is not written line by line; put this into it:",
		         init->file);
		show_block(init);
		return false;
	}
	size_t at = 0;
	for (int line = 0; line < (int)sources->key_place.line && at < text.size; at++) {
		line += text.data[at] == '\n' ? 1 : 0;
	}
	struct buffer block;
	buffer_init(&block, 65536);
	block_write(init->preset, init->source, (size_t)sources->first->key_place.column - 1,
	            &block);
	buffer_append(out, text.data, at);
	append_lines(out, buffer_view(&block), at > 1 && text.data[at - 2] == '\r');
	buffer_span(out, span_after(text, at));
	buffer_finish(&block);
	return true;
}

/* --- files --- */

/* As the configuration's owner, when it is another one and we may. */
static bool
write_all(int fd, struct span text, const struct stat *like)
{
	bool good =
		write(fd, text.data, text.size) == (ssize_t)text.size &&
		(like == NULL || geteuid() != 0 || fchown(fd, like->st_uid, like->st_gid) == 0) &&
		fsync(fd) == 0;
	int saved = errno;
	good = close(fd) == 0 && good;
	errno = good ? errno : saved;
	return good;
}

/* The problems of a draft, as those of the file that it would become. */
static void
say_with_name(const struct init *init, struct span report, const char *draft)
{
	size_t size = strlen(draft);
	while (report.size > 0) {
		bool named = report.size >= size && memcmp(report.data, draft, size) == 0;
		(void)fwrite(named ? init->file : report.data, 1, named ? strlen(init->file) : 1,
		             stderr);
		report = span_after(report, named ? size : 1);
	}
}

static bool
check_draft(const struct init *init, const char *draft, int *code)
{
	struct buffer report;
	buffer_init(&report, 1024 * 1024);
	struct config *config = config_load(draft, CONFIG_TO_READ, &report);
	bool good = config != NULL;
	if (!good) {
		complain("%s would not be right any more; nothing was changed:", init->file);
		say_with_name(init, buffer_view(&report), draft);
		*code = EXIT_USAGE;
	}
	config_release(config);
	buffer_finish(&report);
	return good;
}

/* secrets/<name>, which is kept when it is there. */
static bool
make_secret(const struct init *init, const char *ending, struct span secret)
{
	char *directory = joined(init->directory, "secrets");
	struct buffer path;
	buffer_init(&path, 65536);
	buffer_format(&path, "%s/%s%s", directory, init->source, ending);
	buffer_byte(&path, '\0');
	struct stat like;
	bool there = stat(init->file, &like) == 0;
	if (mkdir(directory, 0700) == 0 && there && geteuid() == 0 &&
	    chown(directory, like.st_uid, like.st_gid) != 0) {
		complain("%s: %s", directory, strerror(errno));
	}
	int fd = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool good = fd >= 0 && write_all(fd, secret, there ? &like : NULL);
	if (good) {
		say("made a fresh secret: %s (enter it at the provider)", path.data);
	} else if (errno == EEXIST && access(path.data, F_OK) == 0) {
		say("kept the secret that is there: %s", path.data);
		good = true;
	} else {
		complain("%s: %s", path.data, strerror(errno));
	}
	buffer_finish(&path);
	free(directory);
	return good;
}

static bool
make_secrets(const struct init *init)
{
	const struct preset *preset = init->preset;
	struct buffer secret;
	bool good = true;
	buffer_init(&secret, 4096);
	if (block_secret(preset, &secret)) {
		good = make_secret(init, "", buffer_view(&secret));
	} else if (scheme_has_secrets(&preset->scheme) ||
	           (preset->needs & PRESET_NEEDS_CLIENT) != 0) {
		say("the provider chooses the secret: put it into %ssecrets/%s (mode 0600)",
		    init->directory, init->source);
	} else if (preset->scheme.algorithm == SCHEME_ED25519 ||
	           preset->scheme.algorithm == SCHEME_ECDSA_P256_SHA256) {
		say("the provider shows its public key: put it into %ssecrets/%s.pub",
		    init->directory, init->source);
	}
	if (good && (preset->needs & PRESET_NEEDS_VERIFY_TOKEN) != 0) {
		struct preset token = { .fresh = { .bytes = 32 } };
		secret.size = 0;
		good = block_secret(&token, &secret) &&
		       make_secret(init, ".verify", buffer_view(&secret));
	}
	memory_wipe(secret.data, secret.size);
	buffer_finish(&secret);
	return good;
}

/* Checked as a configuration before it takes the file's name; a draft beside it, that nobody else has. */
static bool
replace_file(const struct init *init, struct span text, int *code)
{
	char *draft = joined(init->file, ".XXXXXX");
	struct stat old = { .st_mode = 0640 };
	bool there = stat(init->file, &old) == 0;
	int fd = mkostemp(draft, O_CLOEXEC);
	bool good = fd >= 0 && write_all(fd, text, there ? &old : NULL) &&
	            chmod(draft, old.st_mode & 07777) == 0;
	if (!good) {
		complain("%s: %s", draft, strerror(errno));
	}
	good = good && check_draft(init, draft, code);
	if (good && there && geteuid() != 0 && old.st_uid != geteuid()) {
		complain("%s: belongs to somebody else, and would not any more", init->file);
		good = false;
	}
	good = good && make_secrets(init);
	if (good && rename(draft, init->file) != 0) {
		complain("%s: %s", init->file, strerror(errno));
		good = false;
	}
	if (!good && fd >= 0) {
		(void)unlink(draft);
	}
	free(draft);
	return good;
}

static void
tell_next(const struct init *init)
{
	say("next, at the provider:");
	for (const char *line = init->preset->steps; *line != '\0';) {
		const char *end = strchrnul(line, '\n');
		say("  - %.*s", (int)(end - line), line);
		line = *end == '\0' ? end : end + 1;
	}
	if (!init->fresh) {
		say("no handler may want its events yet: `on: [ %s/* ]`", init->source);
	}
	if (init->fresh) {
		say("a certificate is needed: %stls/cert.pem and key.pem, or another `listen`",
		    init->directory);
	}
	say("then: hooklatch config check -c %s; kill -HUP reloads a running service", init->file);
}

static int
run(struct init *init)
{
	struct buffer text;
	buffer_init(&text, CONFIG_MOST_BYTES);
	struct config *config = NULL;
	bool good = true;
	if (init->fresh) {
		new_file(init, &text);
	} else {
		struct buffer report;
		buffer_init(&report, 1024 * 1024);
		config = config_load(init->file, CONFIG_TO_READ, &report);
		if (config == NULL) {
			(void)fwrite(report.data, 1, report.size, stderr);
			complain("%s was not changed; what would have been written:", init->file);
			show_block(init);
			good = false;
		} else if (access(init->file, W_OK) != 0) {
			complain("%s: %s", init->file, strerror(errno));
			good = false;
		} else if (config_source_by_name(config, init->source) != NULL) {
			complain(
				"%s has a source \"%s\" already; --source NAME chooses another name",
				init->file, init->source);
			good = false;
		} else {
			good = insert_block(init, config, &text);
		}
		buffer_finish(&report);
	}
	int code = good ? EXIT_FAILED : EXIT_USAGE;
	if (good && replace_file(init, buffer_view(&text), &code)) {
		code = EXIT_OK;
	}
	if (code == EXIT_OK) {
		say("%s: wrote the source %s", init->file, init->source);
		tell_next(init);
	}
	config_release(config);
	buffer_finish(&text);
	return code;
}

int
run_init(struct invocation *invocation)
{
	if (invocation->argument_count != 1) {
		return usage_error(invocation,
		                   "the name of a provider; `hooklatch providers` lists them");
	}
	const char *name = invocation->arguments[0];
	struct init init = { .preset = preset_find(name), .source = name };
	if (init.preset == NULL) {
		for (const struct preset_refused *row = presets_refused; row->name != NULL; row++) {
			if (strcmp(row->name, name) == 0) {
				complain("%s: %s", name, row->reason);
				return EXIT_USAGE;
			}
		}
		complain_no_preset(name);
		return EXIT_USAGE;
	}
	if (option(invocation, "source") != NULL) {
		init.source = option(invocation, "source");
	}
	if (!schema_name_valid(span_of(init.source)) || strcmp(init.source, "hooklatch") == 0) {
		return usage_error(
			invocation,
			"--source: a name is 1 to 64 of a-z, 0-9, _ and -, and not hooklatch");
	}
	init.file = memory_text(invocation->config_file);
	init.fresh = access(init.file, F_OK) != 0;
	if (init.fresh && option(invocation, "config") == NULL &&
	    getenv("HOOKLATCH_CONFIG") == NULL) {
		free(init.file);
		init.file = memory_text(NEW_FILE);
	}
	struct stat link;
	if (!init.fresh) { /* a link stays a link */
		char *real = realpath(init.file, NULL);
		if (real != NULL) {
			free(init.file);
			init.file = real;
		}
	} else if (lstat(init.file, &link) == 0) {
		complain("%s: a link to nothing", init.file);
		free(init.file);
		return EXIT_FAILED;
	}
	const char *slash = strrchr(init.file, '/');
	init.directory =
		slash == NULL
			? memory_text("")
			: span_copy((struct span){ init.file, (size_t)(slash - init.file) + 1 });
	/* One at a time: what another one writes meanwhile would be lost. */
	int lock = open(init.directory[0] == '\0' ? "." : init.directory,
	                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock >= 0) {
		(void)flock(lock, LOCK_EX);
	}
	init.fresh = access(init.file, F_OK) != 0;
	int code = run(&init);
	if (lock >= 0) {
		(void)close(lock);
	}
	free(init.file);
	free(init.directory);
	return code;
}
