#include "report.h"

#include <stdarg.h>
#include <stdio.h>

void report(const char *format, ...)
{
	// One write, so that lines of several threads do not mix.
	char line[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	fprintf(stderr, "terrace-softtoken: %s\n", line);
}
