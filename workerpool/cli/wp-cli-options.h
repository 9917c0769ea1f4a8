/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>

G_BEGIN_DECLS

typedef enum
{
  WP_CLI_OUTPUT_TEXT,
  WP_CLI_OUTPUT_JSON,
} WpCliOutput;

typedef enum
{
  WP_CLI_PROGRESS_AUTO,
  WP_CLI_PROGRESS_ALWAYS,
  WP_CLI_PROGRESS_NEVER,
} WpCliProgressMode;

/* What "workerpool map" was asked to do. */
typedef struct
{
  guint n_jobs;     /* 0: one for each CPU */
  guint chunk_size; /* 0: automatic */
  guint max_retries;
  guint retry_delay;    /* ms */
  double retry_backoff; /* 0: the default of the options */
  guint start_timeout; /* ms; 0: the default of the pool */
  gboolean unordered;
  gboolean insights;
  WpOnError on_error;
  char **host; /* NULL: the generic host */
  char *input; /* NULL: standard input, unless there are items */
  gboolean null_separated;
  WpCliOutput output;
  WpCliProgressMode progress;
  gboolean eta;
  char *job_log; /* NULL: none */
  gboolean resume;
  gboolean retry_failed; /* implies resume */

  char *function;
  char **items; /* NULL: from the input */
} WpCliOptions;

/* Prints the help and ends the program when it is asked for. */
gboolean wp_cli_options_parse (WpCliOptions *options, int argc, char *argv[], GError **error);
void     wp_cli_options_clear (WpCliOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (WpCliOptions, wp_cli_options_clear)

/* Parses a number of seconds, which may have decimals, to milliseconds. */
gboolean wp_cli_parse_start_timeout (const char *name,
                                     const char *value,
                                     guint      *milliseconds,
                                     GError    **error);
#define WP_CLI_START_TIMEOUT_HELP "How long a worker may take to start (default 10)"

/* Parses a host's command line as a shell would, without expansions. (transfer full) */
char   **wp_cli_parse_host    (const char *command, GError **error);

G_END_DECLS
