/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Watches for the signals that end the command, from the main loop: the workers are to end first. */
typedef struct _WpCliSignals WpCliSignals;

/* Called once; a second signal ends the program at once, if the first was not enough. */
typedef void (*WpCliSignalFunc) (int signum, gpointer user_data);

WpCliSignals *wp_cli_signals_new  (WpCliSignalFunc func, gpointer user_data);
/* From here on they end the program, as they would without the watch. */
void          wp_cli_signals_free (WpCliSignals *signals);

G_END_DECLS
