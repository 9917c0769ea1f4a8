/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-result-queue.h"

#include <string.h>

#include "channel/wp-message.h"
#include "channel/wp-payload.h"
#include "pool/wp-result-block.h"

/* Results of this mean size and above are wrapped where they lie; below, they are copied into one
 * serialised array, which costs a few nanoseconds a result where a GVariant each costs a microsecond
 * (g_variant_builder_add () of an "av", measured at 1,016 ns). */
#define WRAP_FROM_BYTES 4096

typedef struct
{
  guint64 first;
  guint n;
  guint skip;      /* records of the payload that are not part of this run */
  guint n_taken;
  GBytes *payload; /* or */
  GError *error;   /* the same for all */
  WpResultOrigin origin;
} Run;

struct _WpResultQueue
{
  gboolean ordered;
  GQueue runs; /* Run, sorted by 'first' when ordered */
  guint64 next_index;
  guint64 length;

  /* The run that is being taken, which was removed from the queue. */
  Run *current;
  WpPayloadReader reader;
  WpRecord record; /* its next one, where it has a payload */
};

static void
run_free (Run *run)
{
  g_clear_pointer (&run->payload, g_bytes_unref);
  g_clear_error (&run->error);
  g_clear_pointer (&run->origin.times, g_bytes_unref);
  g_clear_pointer (&run->origin.notes, g_bytes_unref);
  g_free (run);
}

WpResultQueue *
wp_result_queue_new (gboolean ordered)
{
  WpResultQueue *self = g_new0 (WpResultQueue, 1);

  self->ordered = ordered;
  g_queue_init (&self->runs);

  return self;
}

static void
end_current (WpResultQueue *self)
{
  if (self->current == NULL)
    return;

  if (self->current->payload != NULL)
    wp_payload_reader_clear (&self->reader);
  g_clear_pointer (&self->current, run_free);
}

void
wp_result_queue_free (WpResultQueue *self)
{
  end_current (self);
  g_queue_clear_full (&self->runs, (GDestroyNotify) run_free);
  g_free (self);
}

static void
add_run (WpResultQueue *self, Run *run)
{
  GList *after = self->runs.tail;

  /* Workers answer in nearly the order in which they were given work, so the place is near the end. */
  while (self->ordered && after != NULL && ((Run *) after->data)->first > run->first)
    after = after->prev;

  if (after != NULL)
    g_queue_insert_after (&self->runs, after, run);
  else
    g_queue_push_head (&self->runs, run);

  self->length += run->n;
}

static Run *
new_run (guint64 first, guint n, const WpResultOrigin *origin)
{
  Run *run = g_new0 (Run, 1);

  run->first = first;
  run->n = n;
  run->origin = *origin;
  if (origin->times != NULL)
    g_bytes_ref (origin->times);
  if (origin->notes != NULL)
    g_bytes_ref (origin->notes);

  return run;
}

void
wp_result_queue_add (WpResultQueue        *self,
                     guint64               first,
                     guint                 n,
                     GBytes               *payload,
                     guint                 skip,
                     const WpResultOrigin *origin)
{
  Run *run = new_run (first, n, origin);

  run->skip = skip;
  run->payload = g_bytes_ref (payload);

  add_run (self, run);
}

void
wp_result_queue_add_error (WpResultQueue        *self,
                           guint64               first,
                           guint                 n,
                           const GError         *error,
                           const WpResultOrigin *origin)
{
  Run *run = new_run (first, n, origin);

  run->error = g_error_copy (error);

  add_run (self, run);
}

/* Passes over the records of a run that belong to results seen before. The payload was validated when
 * it came, so that reading it cannot fail. */
static void
open_reader (WpPayloadReader *reader, const Run *run)
{
  WpRecord record;

  wp_payload_reader_init (reader, run->payload, TRUE);
  for (guint i = 0; i < run->skip; i++)
    {
      gboolean found = wp_payload_reader_next (reader, &record, NULL);
      g_assert (found);
    }
}

static void
read_record (WpResultQueue *self)
{
  gboolean found = wp_payload_reader_next (&self->reader, &self->record, NULL);

  g_assert (found);
}

static gboolean
find_current (WpResultQueue *self)
{
  Run *head;

  if (self->current != NULL)
    return TRUE;

  head = g_queue_peek_head (&self->runs);
  if (head == NULL || (self->ordered && head->first != self->next_index))
    return FALSE;

  self->current = g_queue_pop_head (&self->runs);
  if (self->current->payload != NULL)
    {
      open_reader (&self->reader, self->current);
      read_record (self);
    }

  return TRUE;
}

gboolean
wp_result_queue_can_take (WpResultQueue *self)
{
  return find_current (self);
}

/* Its notes are the run's. */
static void
describe_task (const Run *run, WpTaskRun *described)
{
  const WpTaskTimes *times = NULL;
  gsize size;

  *described = (WpTaskRun){
    .worker = run->origin.worker,
    .n_retries = run->origin.n_retries,
    .notes = run->origin.notes,
  };
  if (run->origin.times == NULL)
    return;

  times = g_bytes_get_data (run->origin.times, &size);
  g_assert (run->skip + run->n_taken < size / sizeof *times);
  described->started = times[run->skip + run->n_taken].started;
  described->elapsed = times[run->skip + run->n_taken].elapsed;
}

/* Passes over the result that find_current () has found. */
static void
advance (WpResultQueue *self)
{
  Run *run = self->current;

  run->n_taken++;
  run->first++;
  run->n--;
  self->length--;
  self->next_index = run->first;

  if (run->n == 0)
    end_current (self);
  else if (run->payload != NULL)
    read_record (self);
}

static GError *
get_failure (WpResultQueue *self)
{
  if (self->current->error != NULL)
    return g_error_copy (self->current->error);

  return self->record.is_error ? wp_payload_reader_get_error (&self->reader, &self->record) : NULL;
}

gboolean
wp_result_queue_take (WpResultQueue *self, guint64 *index, GVariant **value, GError **failure, WpTaskRun *described)
{
  *value = NULL;
  *failure = NULL;

  if (!find_current (self))
    return FALSE;

  if (described != NULL)
    describe_task (self->current, described);
  if (described != NULL && described->notes != NULL)
    g_bytes_ref (described->notes);
  *index = self->current->first;
  *failure = get_failure (self);
  if (*failure == NULL)
    *value = wp_payload_reader_get_value (&self->reader, &self->record);
  advance (self);

  return TRUE;
}

GBytes *
wp_result_queue_take_block (WpResultQueue *self, guint most)
{
  g_autoptr (WpResultBlock) block = NULL;

  for (guint i = 0; i < most && find_current (self); i++)
    {
      g_autoptr (GError) failure = get_failure (self);
      WpTaskRun run;

      if (failure == NULL && self->record.length >= WP_RESULT_BLOCK_VALUE_MAX)
        break;

      if (block == NULL)
        block = wp_result_block_new ();
      describe_task (self->current, &run);
      if (failure != NULL)
        wp_result_block_add_error (block, self->current->first, &run, failure);
      else
        wp_result_block_add (block, self->current->first, &run, &self->record);
      advance (self);

      if (wp_result_block_is_full (block))
        break;
    }

  return block != NULL ? wp_result_block_end (g_steal_pointer (&block)) : NULL;
}

guint64
wp_result_queue_get_length (WpResultQueue *self)
{
  return self->length;
}

/* A serialised "av" under construction: each element is the value, a zero byte and its type string,
 * at a multiple of 8; behind the elements stand their ends, in the smallest integer that can count the
 * whole (GVariant Specification, section 2.5, "Serialisation of containers"). */
typedef struct
{
  guint8 *data;
  gsize size;
  gsize allocated;
  guint64 *ends;
  gsize n;
} VariantArray;

static void
variant_array_reserve (VariantArray *array, gsize end)
{
  if (end <= array->allocated)
    return;

  array->allocated = MAX (end, array->allocated + array->allocated / 2);
  array->data = g_realloc (array->data, array->allocated);
}

static void
variant_array_add (VariantArray *array, gconstpointer value, gsize length, const char *type)
{
  gsize start = (array->size + 7) & ~(gsize) 7;
  gsize type_length = strlen (type);
  gsize end = start + length + 1 + type_length;

  variant_array_reserve (array, end);
  memset (array->data + array->size, 0, start - array->size);
  if (length > 0)
    memcpy (array->data + start, value, length);
  array->data[start + length] = '\0';
  memcpy (array->data + start + length + 1, type, type_length);

  array->size = end;
  array->ends[array->n++] = end;
}

/* The numbers that follow a record, of its type: as variant_array_add (), in words. A number of less
 * than 8 bytes, the zero byte and the type share one word; behind one of 8 they have their own. */
static void
variant_array_add_numbers (VariantArray *array, const WpRecord *record, guint n)
{
  const guint8 *number = record->value;
  const gsize bits = record->length * 8;
  const gsize stride = bits < 64 ? 8 : 16;
  const guint64 mask = bits < 64 ? (G_GUINT64_CONSTANT (1) << bits) - 1 : G_MAXUINT64;
  const guint64 type = (guint64) (guint8) record->type[0] << (bits + 8) % 64;
  guint8 *element;
  gsize end;

  variant_array_reserve (array, ((array->size + 7) & ~(gsize) 7) + n * stride);
  memset (array->data + array->size, 0, -array->size & 7);
  element = array->data + ((array->size + 7) & ~(gsize) 7);
  end = element - array->data + record->length + 2;

  for (guint i = 0; i < n; i++)
    {
      guint64 word;

      number += WP_RECORD_NUMBER_STRIDE;
      memcpy (&word, number, sizeof word);
      word &= mask;
      if (bits < 64)
        word |= type;
      else
        memcpy (element + sizeof word, &type, sizeof type);
      memcpy (element, &word, sizeof word);

      array->ends[array->n++] = end;
      array->size = end;
      element += stride;
      end += stride;
    }
}

static gsize
offset_size_for (gsize body, gsize n)
{
  if (body + n <= G_MAXUINT8)
    return 1;
  if (body + n * 2 <= G_MAXUINT16)
    return 2;
  if (body + n * 4 <= G_MAXUINT32)
    return 4;
  return 8;
}

static GVariant *
variant_array_end (VariantArray *array)
{
  g_autoptr (GBytes) bytes = NULL;
  gsize width = offset_size_for (array->size, array->n);
  gsize total = array->size + array->n * width;

  array->data = g_realloc (array->data, MAX (total, 1));
  for (gsize i = 0; i < array->n; i++)
    {
      guint64 end = GUINT64_TO_LE (array->ends[i]);

      memcpy (array->data + array->size + i * width, &end, width);
    }

  bytes = g_bytes_new_take (g_steal_pointer (&array->data), total);
  g_clear_pointer (&array->ends, g_free);

  /* Trusted: every value and type in it was validated when it came from its worker. */
  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("av"), bytes, TRUE));
}

static GVariant *
collect_serialised (WpResultQueue *self, gsize n_bytes)
{
  VariantArray array = { 0 };

  array.ends = g_new (guint64, MAX (self->length, 1));
  array.allocated = n_bytes + 8;
  array.data = g_malloc (array.allocated);

  for (GList *l = self->runs.head; l != NULL; l = l->next)
    {
      const Run *run = l->data;
      g_auto (WpPayloadReader) reader = { 0 };

      if (run->payload != NULL)
        open_reader (&reader, run);

      for (guint i = 0; i < run->n; i++)
        {
          WpRecord record = { .is_error = TRUE };
          guint n_numbers = 0;

          if (run->payload != NULL && wp_payload_reader_next (&reader, &record, NULL))
            n_numbers = wp_payload_reader_skip_numbers (&reader, &record, run->n - i - 1);

          if (record.is_error)
            variant_array_add (&array, NULL, 0, "mv");
          else
            variant_array_add (&array, record.value, record.length, record.type);

          if (n_numbers > 0)
            variant_array_add_numbers (&array, &record, n_numbers);
          i += n_numbers;
        }
    }

  return variant_array_end (&array);
}

static GVariant *
collect_wrapped (WpResultQueue *self)
{
  g_autofree GVariant **children = g_new (GVariant *, self->length);
  gsize n = 0;

  for (GList *l = self->runs.head; l != NULL; l = l->next)
    {
      const Run *run = l->data;
      g_auto (WpPayloadReader) reader = { 0 };

      if (run->payload != NULL)
        open_reader (&reader, run);

      for (guint i = 0; i < run->n; i++)
        {
          WpRecord record = { .is_error = TRUE };
          g_autoptr (GVariant) value = NULL;

          if (run->payload != NULL)
            wp_payload_reader_next (&reader, &record, NULL);

          if (!record.is_error)
            value = wp_payload_reader_get_value (&reader, &record);
          else
            value = g_variant_ref_sink (g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, NULL));
          children[n++] = g_variant_new_variant (value);
        }
    }

  return g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE_VARIANT, children, n));
}

GVariant *
wp_result_queue_collect (WpResultQueue *self)
{
  gsize n_bytes = 0;

  g_assert (self->ordered && self->current == NULL);

  for (GList *l = self->runs.head; l != NULL; l = l->next)
    {
      const Run *run = l->data;

      if (run->payload != NULL)
        n_bytes += g_bytes_get_size (run->payload);
    }

  if (self->length > 0 && n_bytes / self->length >= WRAP_FROM_BYTES)
    return collect_wrapped (self);

  return collect_serialised (self, n_bytes);
}
