#include "receiver/cli/command.h"

int
main(int count, char **words)
{
	return command_line(count, words);
}
