/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <workerpool.h>

#include "wp-cli-format.h"
#include "wp-cli-items.h"
#include "wp-cli-job-file.h"
#include "wp-cli-options.h"
#include "wp-cli-progress.h"
#include "wp-cli-signals.h"
#include "wp-cli-pending.h"
#include "wp-cli-writer.h"
#include "wp-cli.h"

/* With more than this waiting for the reader of the results, nothing more is pushed, which in turn
 * holds back the input. */
#define MAX_PENDING_OUTPUT (1024 * 1024)

/* A task that has not ended. */
typedef struct
{
  guint64 index; /* of its item, which is that in the batch unless a job log shows some as done */
  GVariant *item;
} Task;

/* One run of the command, in one thread and one main loop:
 *
 *   descriptor → items → batch → … workers … → batch → writer → descriptor
 *
 * Each arrow holds a bounded amount: the batch has room for so many tasks, and the writer for so
 * much text. */
typedef struct
{
  WpCliOptions options;
  GMainLoop *loop;
  WpWorkerPool *pool;
  WpBatch *batch;
  WpCliPending *pending;
  WpCliWriter *writer;
  WpCliSignals *signals;
  WpCliProgress *progress; /* NULL: not shown */
  gboolean writes_to_terminal;
  WpCliJobFile *job_file; /* NULL: none is written, or no more */
  WpCliJobDigest *digest;

  GHashTable *active; /* index in the batch → Task */
  guint window;       /* the most room that the batch ever had */
  guint input_id;
  guint64 n_arguments; /* that are to be run; 0: the items are not arguments */
  gboolean all_pushed; /* there are no more items */
  gboolean ended;      /* the batch has no more results */
  gboolean stopped;    /* nothing more is to be read, pushed or printed */
  guint64 n_not_run;
  int exit_status;
} Run;

static Task *
task_new (guint64 index, GVariant *item)
{
  Task *task = g_new (Task, 1);

  task->index = index;
  task->item = g_variant_ref (item);

  return task;
}

static void
task_free (Task *task)
{
  g_variant_unref (task->item);
  g_free (task);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Task, task_free)

/* Ends the workers; the first reason is the one that counts. */
static void
stop (Run *run, int exit_status)
{
  if (run->exit_status == WP_CLI_EXIT_SUCCESS || run->exit_status == WP_CLI_EXIT_TASK_FAILED)
    run->exit_status = exit_status;

  run->stopped = TRUE;
  wp_worker_pool_terminate (run->pool);
}

/* Ends the run at once. */
static void
quit (Run *run, int exit_status)
{
  stop (run, exit_status);
  g_main_loop_quit (run->loop);
}

/* Ends the run when the results that came before are written. */
static void
fail (Run *run, int exit_status)
{
  stop (run, exit_status);
  if (wp_cli_writer_get_pending (run->writer) == 0)
    g_main_loop_quit (run->loop);
}

static void
hide_progress (Run *run)
{
  if (run->progress != NULL)
    wp_cli_progress_hide (run->progress);
}

static char *
display_item (GVariant *item)
{
  g_autoptr (GString) text = g_string_new (NULL);

  wp_cli_format_text (text, item);
  return wp_cli_display_item (text->str, text->len);
}

static void
report_failure (Run *run, const Task *task, const GError *error)
{
  g_autofree char *shown_item = display_item (task->item);
  g_autofree char *message = wp_cli_display_message (error->message);

  hide_progress (run);
  fprintf (stderr, "item %" G_GUINT64_FORMAT " (%s): %s\n", task->index, shown_item, message);
}

static void
print_value (Run *run, guint64 index, GVariant *value)
{
  GString *buffer = wp_cli_writer_get_buffer (run->writer);

  if (run->options.output == WP_CLI_OUTPUT_TEXT)
    {
      wp_cli_format_text (buffer, value);
      g_string_append_c (buffer, run->options.null_separated ? '\0' : '\n');
    }
  else
    {
      wp_cli_format_json (buffer, index, value);
      g_string_append_c (buffer, '\n');
    }

  wp_cli_writer_flush (run->writer);
}

static void
print_failure (Run *run, const Task *task, const GError *error)
{
  GString *buffer = wp_cli_writer_get_buffer (run->writer);

  if (run->options.output == WP_CLI_OUTPUT_TEXT)
    {
      report_failure (run, task, error);
      return;
    }

  wp_cli_format_json_error (buffer, task->index, error);
  g_string_append_c (buffer, '\n');
  wp_cli_writer_flush (run->writer);
}

/* Each line of the log follows its result, so that no result is lost with a command that is killed: a task that is in
 * the log is not run again. */
static void
flush_log (Run *run)
{
  g_autoptr (GError) error = NULL;

  if (run->job_file == NULL ||
      wp_cli_job_file_flush (run->job_file, wp_cli_writer_get_n_written (run->writer), &error))
    return;

  g_clear_pointer (&run->job_file, wp_cli_job_file_free);
  hide_progress (run);
  wp_cli_complain ("%s", error->message);
  fail (run, WP_CLI_EXIT_OUTPUT_FAILED);
}

static void
log_task (Run *run, const Task *task, WpResult *result)
{
  const guint worker = wp_result_get_worker_id (result);
  const gint64 start = wp_result_get_start_time (result);
  g_autofree char *shown_item = display_item (task->item);
  WpCliJobLine line = {
    .index = task->index,
    .worker = worker != G_MAXUINT ? (gint64) worker : -1,
    .start = -1,
    .n_retries = wp_result_get_n_retries (result),
    .error = wp_result_get_error (result),
    .digest = wp_cli_job_digest_get (run->digest, task->item),
    .item = shown_item,
  };

  if (start > 0)
    {
      line.start = start + (g_get_real_time () - g_get_monotonic_time ());
      line.run_time = wp_result_get_run_time (result);
    }

  wp_cli_job_file_add (run->job_file, &line,
                       wp_cli_writer_get_n_written (run->writer) + wp_cli_writer_get_pending (run->writer));
}

static void feed (Run *run);

static gboolean
on_readable (int fd, GIOCondition condition, gpointer user_data)
{
  Run *run = user_data;
  g_autoptr (GError) error = NULL;

  run->input_id = 0;
  if (!wp_cli_pending_read (run->pending, &error))
    {
      hide_progress (run);
      wp_cli_complain ("%s", error->message);
      fail (run, WP_CLI_EXIT_USAGE);
      return G_SOURCE_REMOVE;
    }

  feed (run);

  return G_SOURCE_REMOVE;
}

static void
push (Run *run, guint64 item_index, GVariant *item)
{
  const guint64 index = wp_batch_get_n_pushed (run->batch);
  g_autoptr (GError) error = NULL;

  g_hash_table_insert (run->active, GSIZE_TO_POINTER (index), task_new (item_index, item));
  if (wp_batch_push (run->batch, item, &error))
    return;

  g_hash_table_remove (run->active, GSIZE_TO_POINTER (index));

  /* The batch was stopped by a failed task. */
  if (g_error_matches (error, WP_ERROR, WP_ERROR_CLOSED))
    return;

  hide_progress (run);
  wp_cli_complain ("%s", error->message);
  fail (run, WP_CLI_EXIT_POOL_FAILED);
}

/* Pushes items while there are some and the batch has room. */
static void
feed (Run *run)
{
  guint room;

  /* The input waits for bytes, and is read again once they are there. */
  if (run->input_id != 0 || run->stopped ||
      wp_cli_writer_get_pending (run->writer) > MAX_PENDING_OUTPUT)
    return;

  /* An item for each result would go to a worker alone, with a system call for each; many at once
   * go in chunks. Half of the window is left meanwhile, so that no worker runs dry. */
  room = wp_batch_get_room (run->batch);
  run->window = MAX (run->window, room);
  if (room < run->window / 2)
    return;

  for (; room > 0 && !run->stopped && wp_batch_get_state (run->batch) == WP_BATCH_STATE_OPEN;
       room--)
    {
      g_autoptr (GVariant) item = NULL;
      g_autoptr (GError) error = NULL;
      guint64 index;

      switch (wp_cli_pending_next (run->pending, &index, &item, &error))
        {
        case WP_CLI_ITEMS_READY:
          push (run, index, item);
          break;

        case WP_CLI_ITEMS_LATER:
          run->input_id = g_unix_fd_add (wp_cli_pending_get_fd (run->pending), G_IO_IN | G_IO_HUP | G_IO_ERR,
                                         on_readable, run);
          return;

        case WP_CLI_ITEMS_END:
          run->all_pushed = TRUE;
          wp_batch_close (run->batch);
          return;

        case WP_CLI_ITEMS_FAILED:
          hide_progress (run);
          wp_cli_complain ("%s", error->message);
          fail (run, WP_CLI_EXIT_USAGE);
          return;

        default:
          g_assert_not_reached ();
        }
    }
}

/* Whether the task ended so. */
static gboolean
handle_failure (Run *run, const Task *task, const GError *error)
{
  /* Every other task would fail in the same way. */
  if (g_error_matches (error, WP_ERROR, WP_ERROR_START_FAILED) ||
      g_error_matches (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION))
    {
      hide_progress (run);
      wp_cli_complain ("%s", error->message);
      fail (run, wp_cli_get_exit_status (error));
      return FALSE;
    }

  run->exit_status = WP_CLI_EXIT_TASK_FAILED;

  /* Not a failure of this task: another one failed, and ended it. */
  if (run->options.on_error == WP_ON_ERROR_STOP &&
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      run->n_not_run++;
      return FALSE;
    }

  print_failure (run, task, error);
  return TRUE;
}

/* result: NULL when nothing is logged. */
static void
end_task (Run *run, guint64 index, GVariant *value, const GError *error, WpResult *result)
{
  g_autoptr (Task) task = NULL;
  gboolean has_ended = TRUE;

  g_hash_table_steal_extended (run->active, GSIZE_TO_POINTER (index), NULL, (gpointer *) &task);
  if (run->stopped)
    return;

  if (error == NULL)
    print_value (run, task->index, value);
  else
    has_ended = handle_failure (run, task, error);

  if (has_ended && result != NULL && run->job_file != NULL)
    {
      log_task (run, task, result);
      flush_log (run);
    }

  feed (run);
}

static void
on_result (WpBatch *batch, guint64 index, GVariant *value, gpointer user_data)
{
  end_task (user_data, index, value, NULL, NULL);
}

static void
on_failed (WpBatch *batch, guint64 index, const GError *error, gpointer user_data)
{
  end_task (user_data, index, NULL, error, NULL);
}

static void
on_finished (WpBatch *batch, gpointer user_data)
{
  Run *run = user_data;

  run->ended = TRUE;
  g_clear_handle_id (&run->input_id, g_source_remove);

  if (wp_cli_writer_get_pending (run->writer) == 0)
    g_main_loop_quit (run->loop);
}

static void
on_next (GObject *source, GAsyncResult *async_result, gpointer user_data)
{
  WpBatch *batch = WP_BATCH (source);
  Run *run = user_data;
  g_autoptr (WpResult) result = wp_batch_next_finish (batch, async_result, NULL);

  if (result == NULL)
    {
      on_finished (batch, run);
      return;
    }

  wp_batch_next_async (batch, NULL, on_next, run);
  end_task (run, wp_result_get_index (result), wp_result_get_value (result), wp_result_get_error (result), result);
}

static void
before_write (gpointer user_data)
{
  Run *run = user_data;

  if (run->writes_to_terminal)
    hide_progress (run);
}

static void
after_write (gpointer user_data)
{
  flush_log (user_data);
}

static void
on_written (const GError *error, gpointer user_data)
{
  Run *run = user_data;

  /* The reader has seen enough, as "head" does: that is no reason to complain. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
    {
      quit (run, WP_CLI_EXIT_SIGNAL + SIGPIPE);
    }
  else if (error != NULL)
    {
      hide_progress (run);
      wp_cli_complain ("%s", error->message);
      quit (run, WP_CLI_EXIT_OUTPUT_FAILED);
    }
  else if (run->ended || run->stopped)
    {
      g_main_loop_quit (run->loop);
    }
  else
    {
      feed (run);
    }
}

static void
on_signal (int signum, gpointer user_data)
{
  Run *run = user_data;

  quit (run, WP_CLI_EXIT_SIGNAL + signum);
}

static WpCliItems *
open_items (WpCliOptions *options)
{
  struct stat status;
  int fd = STDIN_FILENO;

  if (options->items != NULL)
    return wp_cli_items_new_strv (options->items);

  if (options->input == NULL || g_str_equal (options->input, "-"))
    {
      /* A closed one was filled with something that cannot be read. */
      if ((fcntl (fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
        {
          wp_cli_complain ("Standard input is closed; name the items, or a file with --input");
          return NULL;
        }
    }
  else
    {
      fd = open (options->input, O_RDONLY | O_CLOEXEC);
      if (fd < 0)
        {
          wp_cli_complain ("The input “%s” cannot be opened: %s", options->input,
                           g_strerror (errno));
          return NULL;
        }
    }

  if (fstat (fd, &status) == 0 && S_ISDIR (status.st_mode))
    {
      wp_cli_complain ("The input “%s” is a directory; items are read from a file",
                       options->input != NULL ? options->input : "-");
      if (fd != STDIN_FILENO)
        close (fd);
      return NULL;
    }

  return wp_cli_items_new_fd (fd, options->null_separated ? '\0' : '\n');
}

static gboolean
shows_bar (WpCliOptions *options)
{
  switch (options->progress)
    {
    case WP_CLI_PROGRESS_AUTO:
      return isatty (STDERR_FILENO);
    case WP_CLI_PROGRESS_ALWAYS:
      return TRUE;
    case WP_CLI_PROGRESS_NEVER:
      return FALSE;
    default:
      g_assert_not_reached ();
    }
}

static void
show_progress (Run *run)
{
  const gboolean has_bar = shows_bar (&run->options);
  guint64 n_total;

  /* The bar tells the time left, too. */
  if (!has_bar && !run->options.eta)
    return;

  n_total = wp_cli_pending_get_total (run->pending);
  if (n_total > 0)
    wp_batch_set_n_total (run->batch, n_total);
  run->progress = wp_cli_progress_new (run->batch, STDERR_FILENO,
                                       has_bar ? WP_CLI_PROGRESS_BAR : WP_CLI_PROGRESS_LINES);
}

/* Returns the exit status. The first line is written before there is a task whose result would go unnoted. */
static int
open_job_log (Run *run)
{
  g_autoptr (WpCliJobLog) log = run->options.resume ? wp_cli_job_log_new () : NULL;
  g_autoptr (GError) error = NULL;

  if (run->options.job_log == NULL)
    return WP_CLI_EXIT_SUCCESS;

  run->digest = wp_cli_job_digest_new (run->options.function);
  run->job_file = wp_cli_job_file_open (run->options.job_log, log, wp_cli_pending_get_fd (run->pending), &error);
  if (run->job_file == NULL)
    {
      wp_cli_complain ("%s", error->message);
      return WP_CLI_EXIT_USAGE;
    }

  if (!wp_cli_job_file_flush (run->job_file, 0, &error))
    {
      wp_cli_complain ("%s", error->message);
      return WP_CLI_EXIT_OUTPUT_FAILED;
    }

  if (log != NULL)
    wp_cli_pending_skip (run->pending, g_steal_pointer (&log), run->options.function, run->options.retry_failed);

  return WP_CLI_EXIT_SUCCESS;
}

static gboolean
start (Run *run, GError **error)
{
  g_autoptr (WpTaskOptions) task_options = wp_task_options_new ();

  run->pool = wp_worker_pool_new (run->options.n_jobs);
  if (run->options.host != NULL)
    wp_worker_pool_set_host (run->pool, (const char *const *) run->options.host);
  if (run->options.start_timeout != 0)
    wp_worker_pool_set_start_timeout (run->pool, run->options.start_timeout);
  /* The job log shows when each task ran. */
  wp_worker_pool_set_enable_insights (run->pool, run->options.insights || run->job_file != NULL);

  wp_task_options_set_ordered (task_options, !run->options.unordered);
  wp_task_options_set_chunk_size (task_options, run->options.chunk_size);
  wp_task_options_set_max_retries (task_options, run->options.max_retries);
  wp_task_options_set_retry_delay (task_options, run->options.retry_delay);
  if (run->options.retry_backoff > 0)
    wp_task_options_set_retry_backoff (task_options, run->options.retry_backoff);
  wp_task_options_set_on_error (task_options, run->options.on_error);

  run->batch = wp_worker_pool_start_batch (run->pool, run->options.function, task_options, error);
  if (run->batch == NULL)
    return FALSE;

  /* Signals bring many results in one turn of the main loop; asking for each takes a turn each, and tells what the job
   * log is to show. */
  if (run->job_file != NULL)
    {
      wp_batch_next_async (run->batch, NULL, on_next, run);
    }
  else
    {
      g_signal_connect (run->batch, "result", G_CALLBACK (on_result), run);
      g_signal_connect (run->batch, "failed", G_CALLBACK (on_failed), run);
      g_signal_connect (run->batch, "finished", G_CALLBACK (on_finished), run);
    }

  if (run->options.items != NULL)
    run->n_arguments = wp_cli_pending_get_total (run->pending);
  show_progress (run);

  return TRUE;
}

/* What the first failed task has cost beside itself. */
static void
report_not_run (Run *run)
{
  const guint64 n_pushed = wp_batch_get_n_pushed (run->batch);
  const guint64 n_not_pushed = run->n_arguments > n_pushed ? run->n_arguments - n_pushed : 0;
  const guint64 n_not_run = run->n_not_run + n_not_pushed;
  const gboolean end_is_known = run->all_pushed || run->n_arguments > 0;

  if (end_is_known && n_not_run == 0)
    return;

  if (n_not_run == 0)
    wp_cli_complain ("Stopped at the first failed task, before the end of the input");
  else
    wp_cli_complain ("Stopped at the first failed task; %" G_GUINT64_FORMAT " %s%s", n_not_run,
                     n_not_run == 1 ? "task was not run" : "tasks were not run",
                     end_is_known ? "" : ", nor was the rest of the input");
}

static void
print_insights (Run *run)
{
  g_autofree char *table = wp_worker_pool_format_insights (run->pool);

  if (run->options.insights)
    fputs (table, stderr);
}

static void
run_clear (Run *run)
{
  g_clear_handle_id (&run->input_id, g_source_remove);
  g_clear_pointer (&run->signals, wp_cli_signals_free);
  g_clear_pointer (&run->progress, wp_cli_progress_free);
  if (run->batch != NULL)
    g_signal_handlers_disconnect_by_data (run->batch, run);
  g_clear_object (&run->batch);
  g_clear_object (&run->pool);
  g_clear_pointer (&run->pending, wp_cli_pending_free);
  g_clear_pointer (&run->job_file, wp_cli_job_file_free);
  g_clear_pointer (&run->digest, wp_cli_job_digest_free);
  g_clear_pointer (&run->writer, wp_cli_writer_free);
  g_clear_pointer (&run->active, g_hash_table_unref);
  g_clear_pointer (&run->loop, g_main_loop_unref);
  wp_cli_options_clear (&run->options);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, run_clear)

int
wp_cli_map (int argc, char *argv[])
{
  g_auto (Run) run = { 0 };
  g_autoptr (GError) error = NULL;
  WpCliItems *items;
  int status;

  if (!wp_cli_options_parse (&run.options, argc, argv, &error))
    {
      wp_cli_complain ("%s", error->message);
      return WP_CLI_EXIT_USAGE;
    }

  items = open_items (&run.options);
  if (items == NULL)
    return WP_CLI_EXIT_USAGE;

  run.pending = wp_cli_pending_new (items);
  status = open_job_log (&run);
  if (status != WP_CLI_EXIT_SUCCESS)
    return status;

  run.loop = g_main_loop_new (NULL, FALSE);
  run.active = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) task_free);
  run.writer = wp_cli_writer_new (STDOUT_FILENO, before_write, after_write, on_written, &run);
  run.writes_to_terminal = isatty (STDOUT_FILENO);
  run.signals = wp_cli_signals_new (on_signal, &run);

  if (!start (&run, &error))
    {
      wp_cli_complain ("%s", error->message);
      return wp_cli_get_exit_status (error);
    }

  feed (&run);
  if (!run.stopped)
    g_main_loop_run (run.loop);

  g_clear_pointer (&run.signals, wp_cli_signals_free);
  g_clear_pointer (&run.progress, wp_cli_progress_free);
  wp_worker_pool_join (run.pool, NULL, NULL);

  if (run.exit_status == WP_CLI_EXIT_TASK_FAILED && run.options.on_error == WP_ON_ERROR_STOP)
    report_not_run (&run);
  print_insights (&run);

  return run.exit_status;
}
