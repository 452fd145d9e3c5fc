/* What systemd is told (sd_notify(3)): READY=1, RELOADING=1, STOPPING=1, STATUS=…. Without $NOTIFY_SOCKET: nothing. */
#ifndef HOOKLATCH_SERVICE_NOTIFY_H
#define HOOKLATCH_SERVICE_NOTIFY_H

void notify(const char *state);

#endif
