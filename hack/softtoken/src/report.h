// One line on standard error for what a return code cannot say.
#ifndef SOFTTOKEN_REPORT_H
#define SOFTTOKEN_REPORT_H

// report writes "terrace-softtoken: " and the message. No caller passes a PIN or a key.
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
