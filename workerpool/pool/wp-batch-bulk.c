/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-batch-private.h"

#include "pool/wp-arguments.h"
#include "pool/wp-engine-events.h"

/* What a caller does with many tasks of a batch at once. It is for language layers, where each call and each object
 * costs more than a short task: few calls that carry much. */

/* Its elements are checked as they are pushed. GVariant remembers that an array is in normal form, so that looking at
 * the same one again costs nothing. */
static gboolean
check_array (GVariant *items, GError **error)
{
  if (!wp_arguments_check_array (items, error))
    return FALSE;
  if (g_variant_is_normal_form (items))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               "the array of items, of type “%.64s”, cannot be sent to a worker: it is not in normal form",
               g_variant_get_type_string (items));
  return FALSE;
}

/* How many items there is room for. FALSE: the batch takes none. */
static gboolean
find_room (WpBatch *self, guint64 *room, GError **error)
{
  gboolean open;

  wp_engine_lock (self->engine);
  open = wp_batch_queue_check_open (&self->queue, FALSE, error);
  *room = open && wp_batch_queue_can_push (&self->queue) ? wp_batch_queue_get_room (&self->queue) : 0;
  wp_engine_unlock (self->engine);

  return open;
}

/* The items that can be sent, up to the first that cannot. An error only when that is the first of all. */
static GPtrArray *
collect_items (GVariant *items, gsize first, gsize n, GError **error)
{
  g_autoptr (GPtrArray) values = g_ptr_array_new_full ((guint) n, (GDestroyNotify) g_variant_unref);

  for (gsize i = first; i < first + n; i++)
    {
      g_autoptr (GVariant) value = wp_items_get_element (items, i);

      if (!wp_batch_check_item (value, i == first ? error : NULL))
        break;
      g_ptr_array_add (values, g_steal_pointer (&value));
    }

  return g_steal_pointer (&values);
}

/* Adds the values that there still is room for, when another thread has pushed as well. */
static guint
push_values (WpBatch *self, GPtrArray *values, GError **error)
{
  guint n = 0;

  wp_engine_lock (self->engine);
  if (wp_batch_queue_check_open (&self->queue, FALSE, error) && wp_batch_queue_can_push (&self->queue))
    {
      n = (guint) MIN (values->len, wp_batch_queue_get_room (&self->queue));
      wp_batch_queue_push_values (&self->queue, (GVariant **) values->pdata, n);
    }
  wp_engine_unlock (self->engine);

  return n;
}

/**
 * wp_batch_push_items:
 * @self: a batch
 * @items: an array, whose elements are the arguments of one task each; a floating reference is consumed
 * @first: the index of the first element to push
 * @error: return location for an error
 *
 * Adds a task for each element of an array from @first on, as far as there is room, without ever blocking.
 *
 * The elements of an array of variants (`av`) stand for the values in them. It takes one call for any number of tasks,
 * and the chunks are made when all of them are there; [method@Batch.push] costs a call for each. What did not fit is
 * pushed by further calls, from the first element that was not pushed, after [method@Batch.wait] has found results and
 * they were taken. When an element cannot be sent, those before it are pushed, and the call that begins with it fails.
 *
 * Errors: `WP_ERROR_CLOSED` when the batch was closed or cancelled or its pool joined or terminated;
 * `G_IO_ERROR_INVALID_ARGUMENT` when @items is not an array or not in normal form, when @first is behind its end, and
 * when the element @first cannot be sent, as in [method@Batch.push].
 *
 * Returns: how many tasks were added; 0 without an error when there is no room
 *
 * Since: 1.0
 */
guint
wp_batch_push_items (WpBatch *self, GVariant *items, guint first, GError **error)
{
  g_autoptr (GVariant) array = NULL;
  g_autoptr (GVariant) trusted = NULL;
  g_autoptr (GPtrArray) values = NULL;
  guint64 room;
  gsize n;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  g_return_val_if_fail (error == NULL || *error == NULL, 0);

  array = items != NULL ? g_variant_ref_sink (items) : NULL;
  if (!wp_batch_check_inherited (self, error) || !check_array (array, error))
    return 0;

  n = g_variant_n_children (array);
  if (first > n)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "the items cannot be pushed from %u on: there are %" G_GSIZE_FORMAT, first, n);
      return 0;
    }

  if (!find_room (self, &room, error) || room == 0)
    return 0;

  trusted = wp_items_trust_array (array);
  values = collect_items (trusted, first, (gsize) MIN (n - first, MIN (room, G_MAXUINT)), error);

  return values->len > 0 ? push_values (self, values, error) : 0;
}

/* Under the lock. FALSE: the time is over. */
static gboolean
wait_until (WpBatch *self, gint64 end_time)
{
  while (!wp_result_queue_can_take (self->job->results) && !self->job->ended)
    {
      if (!wp_batch_take_events (self) && !wp_engine_wait_for_results_until (self->engine, self->job, end_time))
        return FALSE;
    }

  return TRUE;
}

/**
 * wp_batch_wait:
 * @self: a batch
 * @timeout: how long to wait, in microseconds; 0 to look only, -1 for any time
 * @error: return location for an error
 *
 * Waits until [method@Batch.next] or [method@Batch.take] would return at once: with a result, or at the end.
 *
 * It blocks the calling thread and iterates no main context; as in [method@Batch.next], events are emitted where that
 * is the thread of the batch's context. Nothing is taken, so that where several threads take results another one may
 * come first. Like all blocking calls it does not end on a signal: an interpreter that runs signal handlers between its
 * instructions waits in slices of some 50 ms.
 *
 * Errors: `WP_ERROR_CLOSED` in a process that was forked from the batch's; `G_IO_ERROR_NOT_SUPPORTED` when the results
 * flow into the list; `G_IO_ERROR_WOULD_BLOCK` in a task of the same pool, when its workers are threads.
 *
 * Returns: `TRUE` when there is a result, or the end; `FALSE` without an error when the time is over
 *
 * Since: 1.0
 */
gboolean
wp_batch_wait (WpBatch *self, gint64 timeout, GError **error)
{
  gboolean found = FALSE;

  g_return_val_if_fail (wp_batch_is_started (self), FALSE);
  g_return_val_if_fail (timeout >= -1, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!wp_batch_check_inherited (self, error) || !wp_engine_may_wait (self->engine, "a result", error))
    return FALSE;

  wp_engine_lock (self->engine);
  if (wp_batch_check_pulling (self, error))
    {
      wp_engine_begin_wait (self->engine, self->job);
      found = wait_until (self, wp_engine_get_end_time (timeout));
      wp_engine_end_wait (self->engine, self->job);
    }
  wp_engine_unlock (self->engine);

  return found;
}

/**
 * wp_batch_take:
 * @self: a batch
 * @most: how many results to take at most
 * @error: return location for an error
 *
 * Takes the results that are there, as one block of bytes, without ever blocking.
 *
 * They are those that [method@Batch.next] would return, in its order; no object is made for any of them. All numbers
 * of the block are little-endian. For each result it holds a record, at a multiple of 8 bytes:
 *
 * | at | type | what |
 * |----|------|------|
 * | 0  | u64  | the index of the task |
 * | 8  | u32  | the kind: 0 a value of type `ay`, 1 a value of another type, 2 an error |
 * | 12 | u32  | [property@Result:worker-id] |
 * | 16 | u32  | [property@Result:n-retries] |
 * | 20 | u32  | *t*, the size of the type string |
 * | 24 | i64  | [property@Result:start-time] |
 * | 32 | i64  | [property@Result:run-time] |
 * | 40 | u64  | *v*, the length of the value |
 * | 48 | u64  | *n*, the length of the notes |
 * | 56 |      | the type string, *t* bytes with its NUL and what fills them up: for kind 1 only |
 * |    |      | the value, *v* bytes: those of the `ay`; the serialised value; or of an error the serialised `(sis)` of its domain, code and message |
 * |    |      | the notes of a failed task ([method@Result.get_notes]), *n* bytes |
 *
 * The value and the notes are followed by as many zero bytes as it takes to reach a multiple of 8. In Python the first
 * 56 bytes are `struct.unpack_from('<QIIIIqqQQ', block, position)`.
 *
 * A block ends early once it holds 256 KiB. A value of 1 MiB or more is never copied into a block: when it comes first,
 * nothing is returned, and [method@Batch.next] shares it instead. So when [method@Batch.wait] has returned `TRUE` and
 * this returns `NULL`, call [method@Batch.next]: it returns the large result, or `NULL` at the end.
 *
 * Errors: `WP_ERROR_CLOSED` in a process that was forked from the batch's; `G_IO_ERROR_NOT_SUPPORTED` when the results
 * flow into the list.
 *
 * Returns: (transfer full) (nullable): the block; `NULL` without an error when there is no result, when the first is a
 *   large one, and when the batch has ended and all results were taken
 *
 * Since: 1.0
 */
GBytes *
wp_batch_take (WpBatch *self, guint most, GError **error)
{
  GBytes *block = NULL;

  g_return_val_if_fail (wp_batch_is_started (self), NULL);
  g_return_val_if_fail (most > 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!wp_batch_check_inherited (self, error))
    return NULL;

  wp_engine_lock (self->engine);
  if (wp_batch_check_pulling (self, error))
    {
      block = wp_result_queue_take_block (self->job->results, most);
      if (block != NULL)
        {
          /* Those of the results' tasks are here by now. */
          wp_batch_take_events (self);
          wp_batch_queue_serve (&self->queue);
        }
    }
  wp_engine_unlock (self->engine);

  return block;
}
