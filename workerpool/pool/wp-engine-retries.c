/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

#include "channel/wp-message.h"

/* Consecutive results that count, between others whose tasks run again. */
typedef struct
{
  guint64 first;
  guint n;
  GBytes *payload;
  guint skip;
  GBytes *times; /* of the payload's records, or NULL */
  guint n_failed;
  GError *first_failure;
} Run;

/* The job of a chunk when it names errors for retries. (transfer full) (nullable) */
static WpJob *
ref_retrying_job (WpEngine *self, WpLink *link, guint64 sequence)
{
  WpHeldChunk chunk;
  WpJob *job = NULL;

  wp_engine_lock (self);
  if (wp_engine_find_held (self, link->id, sequence, &chunk))
    job = chunk.tag;
  if (job != NULL && job->retry_errors != NULL)
    wp_job_ref (job);
  else
    job = NULL;
  wp_engine_unlock (self);

  return job;
}

/* Reading an error takes a microsecond or so, and a frame may hold thousands: it is done without the lock. */
GArray *
wp_engine_find_retries (WpEngine *self, WpLink *link, guint64 sequence, GBytes *payload)
{
  g_autoptr (WpJob) job = ref_retrying_job (self, link, sequence);
  g_autoptr (GArray) failed = NULL;
  g_auto (WpPayloadReader) reader = { 0 };
  WpRecord record;

  if (job == NULL)
    return NULL;

  failed = g_array_new (FALSE, FALSE, sizeof (guint));
  wp_payload_reader_init (&reader, payload, TRUE);
  for (guint i = 0; wp_payload_reader_next (&reader, &record, NULL); i++)
    {
      g_autoptr (GError) error = NULL;

      if (!record.is_error)
        continue;

      error = wp_payload_reader_get_error (&reader, &record);
      if (wp_retry_errors_contain (job->retry_errors, error))
        g_array_append_val (failed, i);
    }

  return g_steal_pointer (&failed);
}

static void
begin_run (Run *run, guint64 first, WpPayloadReader *reader, GBytes *payload, GBytes *times, guint position)
{
  gsize n_before = 0;

  run->first = first;
  run->payload = wp_payload_reader_get_rest (reader);
  if (run->payload == NULL)
    {
      run->payload = g_bytes_ref (payload);
      run->skip = position;
    }
  else
    {
      n_before = position * sizeof (WpTaskTimes);
    }

  if (times != NULL)
    run->times = g_bytes_new_from_bytes (times, n_before, g_bytes_get_size (times) - n_before);
}

static void
end_run (WpEngine *self, WpJob *job, const WpResultOrigin *origin, Run *run)
{
  WpResultOrigin part = *origin;

  part.times = run->times;
  if (run->n > 0)
    wp_engine_add_results (self, job, run->first, run->n, run->payload, run->skip, &part, run->n_failed,
                           g_steal_pointer (&run->first_failure));
  g_clear_pointer (&run->payload, g_bytes_unref);
  g_clear_pointer (&run->times, g_bytes_unref);
  *run = (Run){ 0 };
}

void
wp_engine_add_other_results (WpEngine             *self,
                             const WpResultsRange *range,
                             GBytes               *payload,
                             const WpResultOrigin *origin,
                             GArray               *failed)
{
  g_auto (WpPayloadReader) reader = { 0 };
  const guint end = range->skip + range->n_tasks;
  guint n_passed = 0;
  Run run = { 0 };

  wp_payload_reader_init (&reader, payload, TRUE);
  for (guint i = 0; i < end; i++)
    {
      gboolean retried = n_passed < failed->len && g_array_index (failed, guint, n_passed) == i;
      gboolean counts = i >= range->skip && !retried;
      WpRecord record;
      gboolean found;

      n_passed += retried;
      if (!counts)
        end_run (self, range->tag, origin, &run);
      else if (run.n == 0)
        begin_run (&run, range->first + (i - range->skip), &reader, payload, origin->times, i);

      found = wp_payload_reader_next (&reader, &record, NULL);
      g_assert (found);
      if (!counts)
        continue;

      run.n++;
      if (record.is_error && run.n_failed++ == 0)
        run.first_failure = wp_payload_reader_get_error (&reader, &record);
    }
  end_run (self, range->tag, origin, &run);
}
