/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* hash-files FOLDER DIGESTS [WORKERS]
 *
 * Hashes every regular file below a folder on all cores, and writes the digests to a file as
 * "sha256sum --zero" does. A file that cannot be read is named and counted, and the others go on. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <workerpool.h>

#define BLOCK_SIZE (128 * 1024)
#define BAR_WIDTH 40

typedef struct
{
  GPtrArray *paths;
  FILE *digests;
  guint64 n_bytes;
  guint n_failed;
} Job;

/* The task, which runs in a worker: the path of a file → its digest and its size. */
static GVariant *
hash_file (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *block = g_malloc (BLOCK_SIZE);
  guint64 size = 0;
  gssize n;
  const char *path;
  int fd;

  /* Bytes, as file names are, or a string, as the command passes its items. */
  if (g_variant_is_of_type (args, G_VARIANT_TYPE_BYTESTRING))
    path = g_variant_get_bytestring (args);
  else if (g_variant_is_of_type (args, G_VARIANT_TYPE_STRING))
    path = g_variant_get_string (args, NULL);
  else
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "a path is “ay” or “s”, not “%s”",
                   g_variant_get_type_string (args));
      return NULL;
    }

  /* O_NONBLOCK: should a named pipe have taken the file's place, nobody may ever write to it. */
  fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0)
    {
      g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
      return NULL;
    }

  while ((n = read (fd, block, BLOCK_SIZE)) > 0 && !wp_task_context_is_cancelled (context))
    {
      g_checksum_update (checksum, block, n);
      size += n;
    }
  if (n < 0)
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
  close (fd);

  return n < 0 ? NULL : g_variant_new ("(st)", g_checksum_get_string (checksum), size);
}

static gboolean
is_kind (const char *path, mode_t kind)
{
  GStatBuf status;

  return g_lstat (path, &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

/* Adds the regular files below the folder; links are not followed. */
static void
find_files (Job *job, const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  const char *name;

  if (dir == NULL)
    {
      g_printerr ("%s\n", error->message);
      job->n_failed++;
      return;
    }

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (is_kind (path, S_IFDIR))
        find_files (job, path);
      else if (is_kind (path, S_IFREG))
        g_ptr_array_add (job->paths, g_steal_pointer (&path));
    }
}

static void
clear_progress (void)
{
  if (isatty (STDERR_FILENO))
    fputs ("\r\033[K", stderr);
}

static void
show_progress (WpBatch *batch)
{
  static gint64 last_time = 0;
  const double fraction = wp_batch_get_fraction (batch);

  if (!isatty (STDERR_FILENO) || g_get_monotonic_time () < last_time + G_USEC_PER_SEC / 10)
    return;

  last_time = g_get_monotonic_time ();
  fprintf (stderr, "\r[%-*.*s] %3.0f %%  %.0f files/s\033[K", BAR_WIDTH,
           (int) (fraction * BAR_WIDTH), "########################################", fraction * 100,
           wp_batch_get_rate (batch));
}

/* Pushes what the batch has room for: the workers stay busy, and memory holds no more than they
 * need. */
static gboolean
push_files (Job *job, WpBatch *batch, GError **error)
{
  guint64 next = wp_batch_get_n_pushed (batch);

  for (; next < job->paths->len && wp_batch_get_room (batch) > 0; next++)
    {
      if (!wp_batch_push (batch, g_variant_new_bytestring (g_ptr_array_index (job->paths, next)),
                          error))
        return FALSE;
    }

  if (next == job->paths->len)
    wp_batch_close (batch);

  return TRUE;
}

static void
take_result (Job *job, WpResult *result)
{
  const char *path = g_ptr_array_index (job->paths, wp_result_get_index (result));
  const GError *error = wp_result_get_error (result);
  const char *digest;
  guint64 size;

  if (error != NULL)
    {
      g_autofree char *name = g_filename_display_name (path);

      clear_progress ();
      g_printerr ("%s: %s\n", name, error->message);
      job->n_failed++;
      return;
    }

  g_variant_get (wp_result_get_value (result), "(&st)", &digest, &size);
  fprintf (job->digests, "%s  %s%c", digest, path, '\0');
  job->n_bytes += size;
}

static gboolean
hash_files (Job *job, WpWorkerPool *pool, GError **error)
{
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (WpResult) result = NULL;
  GError *failure = NULL;

  wp_task_options_set_on_error (options, WP_ON_ERROR_CONTINUE);
  batch = wp_worker_pool_start_batch (pool, "hash", options, error);
  if (batch == NULL)
    return FALSE;

  wp_batch_set_n_total (batch, job->paths->len);
  while (push_files (job, batch, &failure) &&
         (result = wp_batch_next (batch, NULL, &failure)) != NULL)
    {
      take_result (job, result);
      show_progress (batch);
      g_clear_object (&result);
    }
  clear_progress ();

  if (failure != NULL)
    g_propagate_error (error, failure);

  return failure == NULL && wp_worker_pool_stop_and_join (pool, NULL, error);
}

int
main (int argc, char *argv[])
{
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  Job job = { .paths = paths };
  gint64 start;
  double seconds;

  /* A worker is this same program, started again: it registers its functions, then serves the pool. */
  wp_register_function ("hash", hash_file, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  if (argc != 3 && argc != 4)
    {
      g_printerr ("Usage: hash-files FOLDER DIGESTS [WORKERS]\n");
      return 2;
    }

  job.digests = g_fopen (argv[2], "we");
  if (job.digests == NULL)
    {
      g_printerr ("%s: %s\n", argv[2], g_strerror (errno));
      return 2;
    }

  find_files (&job, argv[1]);
  pool = wp_worker_pool_new (argc == 4 ? MAX (atoi (argv[3]), 0) : 0);
  start = g_get_monotonic_time ();
  if (!hash_files (&job, pool, &error))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  seconds = (double) (g_get_monotonic_time () - start) / G_USEC_PER_SEC;

  if (fclose (job.digests) != 0)
    {
      g_printerr ("%s: %s\n", argv[2], g_strerror (errno));
      return 1;
    }

  g_print ("%u files, %" G_GUINT64_FORMAT
           " bytes, %.3f s, %.0f files/s, workers: %u, unreadable: %u\n",
           paths->len, job.n_bytes, seconds, paths->len / seconds, wp_worker_pool_get_n_jobs (pool),
           job.n_failed);

  return 0;
}
