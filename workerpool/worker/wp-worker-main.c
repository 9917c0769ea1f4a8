/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a process or a thread becomes a worker, and how it leaves. */

#include "worker/wp-worker-private.h"

#include <stdio.h>

#include "channel/wp-process.h"
#include "worker/wp-fork-server.h"
#include "worker/wp-program.h"
#include "worker/wp-worker-setup.h"

/**
 * wp_worker_is_requested:
 *
 * Gets whether a pool started this process to be a worker.
 *
 * Such a process should call [func@Worker.main] at once and exit with what it returns.
 *
 * Returns: `TRUE` when this process is to be a worker
 *
 * Since: 1.0
 */
gboolean
wp_worker_is_requested (void)
{
  return wp_process_is_requested ();
}

/* The exit status of a process that ended with this error. */
static int
explain_end (const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    return WP_EXIT_OWNER_GONE;

  /* g_printerr () would spoil the quotes for a host that has not set its locale. */
  fprintf (stderr, "%s: %s\n", wp_program_get_name (), error->message);

  return WP_EXIT_FAILED;
}

static int
finish (WpWorker *worker,
        GError   *worker_error)
{
  g_autoptr (GError) error = worker_error;

  if (worker != NULL && wp_worker_run (worker, &error))
    return 0;

  return explain_end (error);
}

/* Runs a worker in a copy or a thread of this process. */
static int
run_requested (const WpWorkerRequest *request)
{
  g_autoptr (GMainContext) context = NULL;
  g_autoptr (WpWorker) worker = NULL;
  WpChannel *channel;
  GError *error = NULL;
  int status;

  /* Nothing before this: a copy that hangs at a lock which it inherited has to end with its owner. */
  if (request->is_thread)
    channel = wp_worker_setup_thread (request, &error);
  else
    channel = wp_worker_setup_copy (request, &error);

  if (channel != NULL)
    worker = request->is_thread ? wp_worker_new_in_thread (channel, request->asked, request->shared_objects)
                               : wp_worker_new_for_channel (channel, request->parent);

  /* A copy has the contexts of what it was copied from, and no threads to iterate them; and room for descriptors, since
   * it has closed those. */
  context = request->is_thread ? request->context : g_main_context_new ();
  g_main_context_push_thread_default (context);
  status = finish (worker, error);
  g_main_context_pop_thread_default (context);

  /* A copy leaves by _exit (), so that nothing of the original's ends twice. */
  if (!request->is_thread)
    {
      fflush (stdout);
      fflush (stderr);
    }

  return status;
}

__attribute__ ((constructor)) static void
offer_entry (void)
{
  wp_process_set_entry (run_requested);
}

/**
 * wp_worker_main:
 *
 * Runs a worker from its start to its end.
 *
 * This is the whole main function of a host that has registered its functions. What goes wrong is printed on the
 * standard error. With the start method `forkserver` the process makes the workers of its pool as copies of itself;
 * they start here, and do not return.
 *
 * Returns: the exit status: 0 when the pool asked for the end, 1 when the owner has died, 2 after an error
 *
 * Since: 1.0
 */
int
wp_worker_main (void)
{
  g_autoptr (WpWorker) worker = NULL;
  g_autoptr (GError) server_error = NULL;
  GError *error = NULL;

  if (wp_process_is_server_requested ())
    return wp_fork_server_run (&server_error) ? 0 : explain_end (server_error);

  worker = wp_worker_new (&error);

  return finish (worker, error);
}

/**
 * wp_worker_new: (constructor)
 * @error: return location for an error
 *
 * Takes the role of a worker.
 *
 * From here on this process is killed when its owner dies, ignores SIGINT and SIGPIPE, and blocks no signal. When the
 * channel uses the standard streams, standard input is /dev/null and standard output is standard error. Call this in
 * the main thread before there are others. A program that only wants to serve a pool calls [func@Worker.main] instead.
 *
 * It fails with `G_IO_ERROR_NOT_SUPPORTED` when no pool started this process, or one whose start method is
 * `forkserver`, for which only [func@Worker.main] will do; `G_IO_ERROR_EXISTS` when it has taken the role before,
 * `G_IO_ERROR_CLOSED` when the owner has died meanwhile, and `G_IO_ERROR_INVALID_ARGUMENT` when the
 * environment names no usable channel.
 *
 * Returns: (transfer full): the worker of this process
 *
 * Since: 1.0
 */
WpWorker *
wp_worker_new (GError **error)
{
  WpChannel *channel;

  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  channel = wp_worker_setup (error);

  return channel != NULL ? wp_worker_new_for_channel (channel, wp_process_get_owner ()) : NULL;
}

/**
 * wp_worker_new_in_copy: (constructor)
 * @channel: the worker's end of its channel, an AF_UNIX stream socket; taken
 * @parent: the process identifier of the process that forked this one
 * @error: return location for an error
 *
 * Takes the role of a worker in a process that was forked for it, in the only thread of that process.
 *
 * This is for a [class@Launcher] that forks by itself and returns a [class@ChildProcess]. From here on this process
 * is killed when @parent ends, has none of the descriptors that it inherited but the standard streams and @channel,
 * no handlers of signals but those for faults, and reads its standard input from /dev/null. Eventfds, by which the
 * main contexts that it inherited wake themselves, are replaced by new ones. After [method@Worker.run] it should leave
 * by _exit (), so that nothing ends twice that it has inherited.
 *
 * It fails with `G_IO_ERROR_CLOSED` when @parent has ended meanwhile.
 *
 * Returns: (transfer full): the worker of this process
 *
 * Since: 1.0
 */
WpWorker *
wp_worker_new_in_copy (int      channel,
                       int      parent,
                       GError **error)
{
  const WpWorkerRequest request = { .channel = channel, .parent = parent };
  WpChannel *opened;

  g_return_val_if_fail (channel >= 0, NULL);
  g_return_val_if_fail (parent > 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  opened = wp_worker_setup_copy (&request, error);

  return opened != NULL ? wp_worker_new_for_channel (opened, parent) : NULL;
}
