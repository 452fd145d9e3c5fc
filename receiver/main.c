#include "receiver/base/confine.h"
#include "receiver/cli/command.h"

int
main(int count, char **words)
{
	confine_process();
	return command_line(count, words);
}
