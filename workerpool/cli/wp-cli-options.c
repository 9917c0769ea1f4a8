/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-options.h"

#include <string.h>

#include "wp-cli-arguments.h"

/* Far more workers than a machine can use: a typing error is to be caught before it starts them. */
#define MAX_JOBS 4096
/* What WpTaskOptions allows. */
#define MAX_CHUNK_SIZE 32768
/* Seconds. No host takes a day to start: that is a typing error, too. */
#define MAX_START_TIMEOUT 86400
/* In seconds: a day, as the library has it. */
#define MAX_RETRY_DELAY 86400
/* More is a typing error. */
#define MAX_RETRY_BACKOFF 1000

static gboolean
parse_number (const char *name,
              const char *value,
              guint       minimum,
              guint       maximum,
              guint      *number,
              GError    **error)
{
  guint64 parsed;

  if (!g_ascii_string_to_unsigned (value, 10, minimum, maximum, &parsed, NULL))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "%s takes a whole number from %u to %u, not “%s”", name, minimum, maximum,
                   value);
      return FALSE;
    }

  *number = (guint) parsed;
  return TRUE;
}

/* words: NULL-terminated; the parsed value is the index in them. */
static gboolean
parse_word (const char        *name,
            const char        *value,
            const char *const *words,
            guint             *parsed,
            GError           **error)
{
  g_autofree char *known = NULL;

  for (guint i = 0; words[i] != NULL; i++)
    {
      if (g_str_equal (words[i], value))
        {
          *parsed = i;
          return TRUE;
        }
    }

  known = g_strjoinv (" or ", (char **) words);
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s takes %s, not “%s”", name,
               known, value);

  return FALSE;
}

static gboolean
parse_n_jobs (const char *name, const char *value, gpointer data, GError **error)
{
  return parse_number (name, value, 0, MAX_JOBS, &((WpCliOptions *) data)->n_jobs, error);
}

static gboolean
parse_chunk_size (const char *name, const char *value, gpointer data, GError **error)
{
  return parse_number (name, value, 1, MAX_CHUNK_SIZE, &((WpCliOptions *) data)->chunk_size, error);
}

static gboolean
parse_max_retries (const char *name, const char *value, gpointer data, GError **error)
{
  return parse_number (name, value, 0, G_MAXUINT, &((WpCliOptions *) data)->max_retries, error);
}

/* g_ascii_strtod () also takes signs, exponents, hexadecimal numbers and infinities. */
static gboolean
parse_decimal (const char *value, double *number)
{
  const gboolean is_decimal = *value != '\0' && value[strspn (value, "0123456789.")] == '\0';
  char *end = NULL;

  *number = is_decimal ? g_ascii_strtod (value, &end) : 0;

  return is_decimal && *end == '\0';
}

static gboolean
parse_retry_delay (const char *name, const char *value, gpointer data, GError **error)
{
  double seconds;

  if (!parse_decimal (value, &seconds) || seconds > MAX_RETRY_DELAY)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "%s takes a number of seconds from 0 to %d, not “%s”", name, MAX_RETRY_DELAY, value);
      return FALSE;
    }

  ((WpCliOptions *) data)->retry_delay = (guint) (seconds * 1000 + 0.5);
  return TRUE;
}

static gboolean
parse_retry_backoff (const char *name, const char *value, gpointer data, GError **error)
{
  double factor;

  if (!parse_decimal (value, &factor) || factor < 1 || factor > MAX_RETRY_BACKOFF)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "%s takes a factor from 1 to %d, not “%s”", name, MAX_RETRY_BACKOFF, value);
      return FALSE;
    }

  ((WpCliOptions *) data)->retry_backoff = factor;
  return TRUE;
}

gboolean
wp_cli_parse_start_timeout (const char *name,
                            const char *value,
                            guint      *milliseconds,
                            GError    **error)
{
  double seconds;
  const gboolean is_decimal = parse_decimal (value, &seconds);
  const double rounded = seconds * 1000 + 0.5;

  if (!is_decimal || rounded < 1 || rounded >= MAX_START_TIMEOUT * 1000.0 + 1)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "%s takes a number of seconds from 0.001 to %d, not “%s”", name,
                   MAX_START_TIMEOUT, value);
      return FALSE;
    }

  *milliseconds = (guint) rounded;
  return TRUE;
}

static gboolean
parse_start_timeout (const char *name, const char *value, gpointer data, GError **error)
{
  WpCliOptions *self = data;

  return wp_cli_parse_start_timeout (name, value, &self->start_timeout, error);
}

static gboolean
parse_on_error (const char *name, const char *value, gpointer data, GError **error)
{
  static const char *const words[] = { "stop", "continue", NULL };
  guint parsed;

  if (!parse_word (name, value, words, &parsed, error))
    return FALSE;

  ((WpCliOptions *) data)->on_error = parsed == 0 ? WP_ON_ERROR_STOP : WP_ON_ERROR_CONTINUE;
  return TRUE;
}

static gboolean
parse_output (const char *name, const char *value, gpointer data, GError **error)
{
  static const char *const words[] = { "text", "json", NULL };
  guint parsed;

  if (!parse_word (name, value, words, &parsed, error))
    return FALSE;

  ((WpCliOptions *) data)->output = parsed == 0 ? WP_CLI_OUTPUT_TEXT : WP_CLI_OUTPUT_JSON;
  return TRUE;
}

static gboolean
parse_progress (const char *name, const char *value, gpointer data, GError **error)
{
  static const char *const words[] = { "auto", "always", "never", NULL };
  guint parsed;

  if (!parse_word (name, value, words, &parsed, error))
    return FALSE;

  ((WpCliOptions *) data)->progress = (WpCliProgressMode) parsed;
  return TRUE;
}

char **
wp_cli_parse_host (const char *command, GError **error)
{
  g_autoptr (GError) shell_error = NULL;
  char **argv = NULL;

  if (!g_shell_parse_argv (command, NULL, &argv, &shell_error))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "The host “%s” is not a command line: %s", command, shell_error->message);
      return NULL;
    }

  return argv;
}

static gboolean
parse_host (const char *name, const char *value, gpointer data, GError **error)
{
  WpCliOptions *self = data;

  g_clear_pointer (&self->host, g_strfreev);
  self->host = wp_cli_parse_host (value, error);

  return self->host != NULL;
}

/* Modules are named by their absolute path, which a shell does not complete to. */
static char *
make_function_absolute (const char *function)
{
  const char *colon = strrchr (function, ':');
  g_autofree char *path = NULL;
  g_autofree char *absolute = NULL;

  if (colon == NULL || strstr (function, "://") != NULL || strchr (colon, '/') != NULL)
    return g_strdup (function);

  path = g_strndup (function, colon - function);
  if (strchr (path, '/') == NULL)
    return g_strdup (function);

  absolute = g_canonicalize_filename (path, NULL);
  return g_strconcat (absolute, colon, NULL);
}

static gboolean
take_arguments (WpCliOptions *self, char **arguments, GError **error)
{
  if (arguments == NULL || *arguments == NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                   "The FUNCTION to run is missing; “workerpool help map” shows how to name it");
      return FALSE;
    }

  if (**arguments == '\0' || !g_utf8_validate (*arguments, -1, NULL))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "The name of the FUNCTION is empty or not valid UTF-8");
      return FALSE;
    }

  if (arguments[1] != NULL && self->input != NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                   "There are both items and --input; give one of them");
      return FALSE;
    }

  if (self->job_log == NULL && (self->resume || self->retry_failed))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                   "%s needs --joblog, which names the log that shows what was done",
                   self->resume ? "--resume" : "--retry-failed");
      return FALSE;
    }

  self->resume = self->resume || self->retry_failed;
  self->function = make_function_absolute (*arguments);
  if (arguments[1] != NULL)
    self->items = g_strdupv (arguments + 1);

  return TRUE;
}

gboolean
wp_cli_options_parse (WpCliOptions *self, int argc, char *argv[], GError **error)
{
  g_auto (GStrv) arguments = NULL;
  const GOptionEntry entries[] = {
    { "n-jobs", 'j', G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_n_jobs,
      "Workers, up to " G_STRINGIFY (MAX_JOBS) " (default 0: one for each CPU)", "N" },
    { "chunk-size", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_chunk_size,
      "Items that travel together, 1 to " G_STRINGIFY (MAX_CHUNK_SIZE)
      " (default: by the run time of the tasks)", "N" },
    { "unordered", 0, 0, G_OPTION_ARG_NONE, &self->unordered, "Print results as they come", NULL },
    { "max-retries", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_max_retries,
      "Run a task again up to N times when its worker died (default 0)", "N" },
    { "retry-delay", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_retry_delay,
      "Wait before a task runs again (default 0)", "SECONDS" },
    { "retry-backoff", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_retry_backoff,
      "By which factor each retry of a task waits longer (default 1)", "FACTOR" },
    { "on-error", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_on_error,
      "After a failed task, stop or continue (the default)", "WHAT" },
    { "host", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_host,
      "The program that the workers run (default: the generic host, for functions of modules)",
      "COMMAND" },
    { "start-timeout", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_start_timeout,
      WP_CLI_START_TIMEOUT_HELP, "SECONDS" },
    { "input", 'i', 0, G_OPTION_ARG_FILENAME, &self->input,
      "Read items from FILE; - is standard input", "FILE" },
    { "null", '0', 0, G_OPTION_ARG_NONE, &self->null_separated,
      "Items and text results end with NUL, not with a newline", NULL },
    { "output", 'o', G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_output,
      "Print text (the default) or json", "FORMAT" },
    { "joblog", 0, 0, G_OPTION_ARG_FILENAME, &self->job_log, "Write a line to FILE for each task that has ended",
      "FILE" },
    { "resume", 0, 0, G_OPTION_ARG_NONE, &self->resume, "Leave out the tasks that the job log shows", NULL },
    { "retry-failed", 0, 0, G_OPTION_ARG_NONE, &self->retry_failed,
      "As --resume, but run the tasks again that have failed", NULL },
    { "eta", 0, 0, G_OPTION_ARG_NONE, &self->eta, "Show the time left, also where there is no terminal", NULL },
    { "progress", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_progress,
      "Show progress: auto (the default: on a terminal), always or never", "WHEN" },
    { "insights", 0, 0, G_OPTION_ARG_NONE, &self->insights,
      "Print at the end what the workers spent their time on", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("FUNCTION [ITEM…]");
  GOptionGroup *group = g_option_group_new ("map", NULL, NULL, self, NULL);
  g_auto (GStrv) copy = wp_cli_split_arguments (argv, entries);

  self->on_error = WP_ON_ERROR_CONTINUE;

  g_option_group_add_entries (group, entries);
  g_option_context_set_main_group (context, group);
  g_option_context_set_summary (
      context,
      "Runs FUNCTION on every item over worker processes and prints the results in the order of\n"
      "the items. FUNCTION is /path/to/module.so:symbol, or a name that the host knows. Items are\n"
      "the ITEM arguments, or else the lines of the input.");
  g_option_context_set_description (
      context,
      "Exit status: 0 every task succeeded, 1 a task failed, 2 wrong usage or unreadable input,\n"
      "3 the pool failed, 4 the results could not be written, 5 there is no such function,\n"
      "130 interrupted. The manual page, workerpool(1), says more.");

  if (!wp_cli_parse_arguments (context, &copy, "map", error))
    return FALSE;

  return take_arguments (self, arguments, error);
}

void
wp_cli_options_clear (WpCliOptions *self)
{
  g_clear_pointer (&self->host, g_strfreev);
  g_clear_pointer (&self->input, g_free);
  g_clear_pointer (&self->job_log, g_free);
  g_clear_pointer (&self->function, g_free);
  g_clear_pointer (&self->items, g_strfreev);
}
