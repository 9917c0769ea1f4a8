/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include <workerpool.h>

#include "wp-cli-arguments.h"
#include "wp-cli-options.h"
#include "wp-cli-signals.h"
#include "wp-cli.h"

/* How the pool names the function that lists the others, which every host has. */
#define LIST_FUNCTION "“workerpool:functions”"
/* What the pool calls it. */
#define LIST_NAME "“the list of functions”"

/* Which functions are there? */
typedef struct
{
  const char *what; /* as it was asked: a module, or a command line */
  char *module;     /* NULL: the host's own functions */
  WpWorkerPool *pool;
  GMainLoop *loop;
  GCancellable *cancellable;
  int signum; /* which signal ended the question */

  char **names;
  GError *error;
} Question;

/* A module is one word that ends in .so, or .so and a version; anything else is a command line. */
static gboolean
is_module (const char *text)
{
  if (!g_str_has_suffix (text, ".so") && strstr (text, ".so.") == NULL)
    return FALSE;

  return strpbrk (text, " \t\n") == NULL || g_file_test (text, G_FILE_TEST_EXISTS);
}

static void
replace (char **text, const char *from, const char *to)
{
  g_auto (GStrv) parts = g_strsplit (*text, from, -1);

  g_free (*text);
  *text = g_strjoinv (to, parts);
}

/* The pool says which function failed, but this one is not of the user's making. */
static void
explain (const char *what, GError *error)
{
  g_autofree char *reason = NULL;

  /* These name what was wrong. */
  if (error->domain != WP_ERROR)
    return;
  if (g_error_matches (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION) &&
      strstr (error->message, LIST_FUNCTION) == NULL)
    return;

  reason = g_strdup (error->message);
  replace (&reason, " for " LIST_NAME, "");
  replace (&reason, " while it ran task 0 of " LIST_NAME, " while it listed them");
  replace (&reason, LIST_FUNCTION, "the list of functions");

  g_free (error->message);
  error->message = g_strdup_printf ("The functions of “%s” cannot be listed: %s", what, reason);
}

static gboolean
choose_host (Question *self, GError **error)
{
  g_auto (GStrv) host = NULL;

  if (is_module (self->what))
    {
      self->module = g_canonicalize_filename (self->what, NULL);
      return TRUE;
    }

  if (strpbrk (self->what, " \t\n") == NULL && strstr (self->what, ".so:") != NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "“%s” names a function; give its module alone, up to “.so”", self->what);
      return FALSE;
    }

  host = wp_cli_parse_host (self->what, error);
  if (host == NULL)
    return FALSE;

  wp_worker_pool_set_host (self->pool, (const char *const *) host);
  return TRUE;
}

static void
ask (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Question *self = task_data;
  GError *error = NULL;
  char **names = wp_worker_pool_list_functions (self->pool, self->module, cancellable, &error);

  if (names != NULL)
    g_task_return_pointer (task, names, (GDestroyNotify) g_strfreev);
  else
    g_task_return_error (task, error);
}

static void
on_answer (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Question *self = user_data;

  self->names = g_task_propagate_pointer (G_TASK (result), &self->error);
  g_main_loop_quit (self->loop);
}

static void
on_signal (int signum, gpointer user_data)
{
  Question *self = user_data;

  self->signum = signum;
  g_cancellable_cancel (self->cancellable);
}

/* The pool waits in another thread, so that this one can end it at a signal: a host that does not
 * report in would outlive the command. */
static void
wait_for_answer (Question *self)
{
  WpCliSignals *signals = wp_cli_signals_new (on_signal, self);
  g_autoptr (GTask) task = g_task_new (NULL, self->cancellable, on_answer, self);

  g_task_set_task_data (task, self, NULL);
  g_task_run_in_thread (task, ask);
  g_main_loop_run (self->loop);

  wp_cli_signals_free (signals);
  wp_worker_pool_terminate (self->pool);
  wp_worker_pool_join (self->pool, NULL, NULL);
}

static void
question_clear (Question *self)
{
  g_clear_object (&self->pool);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->loop, g_main_loop_unref);
  g_clear_pointer (&self->module, g_free);
  g_clear_pointer (&self->names, g_strfreev);
  g_clear_error (&self->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Question, question_clear)

static int
print_functions (const char *what, guint start_timeout)
{
  g_auto (Question) question = { .what = what };

  question.pool = wp_worker_pool_new (1);
  question.cancellable = g_cancellable_new ();
  question.loop = g_main_loop_new (NULL, FALSE);
  if (start_timeout != 0)
    wp_worker_pool_set_start_timeout (question.pool, start_timeout);

  if (choose_host (&question, &question.error))
    {
      wait_for_answer (&question);
      if (question.signum != 0)
        return WP_CLI_EXIT_SIGNAL + question.signum;
    }

  if (question.error != NULL)
    {
      explain (what, question.error);
      wp_cli_complain ("%s", question.error->message);
      return wp_cli_get_exit_status (question.error);
    }

  if (question.names[0] == NULL)
    wp_cli_complain ("“%s” offers no functions", what);

  for (guint i = 0; question.names[i] != NULL; i++)
    {
      wp_cli_print (question.names[i]);
      wp_cli_print ("\n");
    }

  return WP_CLI_EXIT_SUCCESS;
}

static gboolean
parse_start_timeout (const char *name, const char *value, gpointer data, GError **error)
{
  return wp_cli_parse_start_timeout (name, value, data, error);
}

int
wp_cli_info (int argc, char *argv[])
{
  guint start_timeout = 0;
  g_auto (GStrv) arguments = NULL;
  const GOptionEntry entries[] = {
    { "start-timeout", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_start_timeout,
      WP_CLI_START_TIMEOUT_HELP, "SECONDS" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("MODULE|COMMAND");
  GOptionGroup *group = g_option_group_new ("info", NULL, NULL, &start_timeout, NULL);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) copy = g_strdupv (argv);

  g_option_group_add_entries (group, entries);
  g_option_context_set_main_group (context, group);
  g_option_context_set_summary (
      context,
      "Prints the names of the functions that a module (a file that ends in .so) or a host\n"
      "(a command line in one argument) offers, one a line.");
  if (!wp_cli_parse_arguments (context, &copy, "info", &error))
    {
      wp_cli_complain ("%s", error->message);
      return WP_CLI_EXIT_USAGE;
    }

  if (arguments == NULL || arguments[0] == NULL || arguments[1] != NULL)
    {
      wp_cli_complain ("Give one module, or the command line of one host in quotes, as one argument");
      return WP_CLI_EXIT_USAGE;
    }

  return print_functions (arguments[0], start_timeout);
}
