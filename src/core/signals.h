/* Signals by name and number.
 *
 * Wing core. */
#ifndef CNET_SIGNALS_H
#define CNET_SIGNALS_H

typedef struct {
  const char *name;
  int number;
} cnet_signal;

enum { CNET_SIGNALS_MAX = 48 };

/* As in Node, two names of one number are two events. */
extern const cnet_signal cnet_signals[];
extern const int cnet_signals_count;

/* The number of a name, in any case; 0 if there is none. */
int cnet_signal_number(const char *name);
/* The first name of a number; NULL if there is none. */
const char *cnet_signal_name(int number);

#endif
