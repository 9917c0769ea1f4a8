/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-inbox.h"

#include <unistd.h>

struct _WpInbox
{
  WpChannel *channel;
  WpInboxFunc func;
  gpointer data;

  /* Of those who poll. Whoever takes comes before or after them all, and needs none. */
  GMutex lock;
  GQueue waiting; /* WpFrame */
  GError *error;  /* what ended the reading */
};

WpInbox *
wp_inbox_new (WpChannel  *channel,
              WpInboxFunc func,
              gpointer    data)
{
  WpInbox *self = g_new0 (WpInbox, 1);

  self->channel = channel;
  self->func = func;
  self->data = data;
  g_mutex_init (&self->lock);
  g_queue_init (&self->waiting);

  return self;
}

static void
waiting_frame_free (gpointer data)
{
  WpFrame *frame = data;

  wp_frame_clear (frame);
  g_free (frame);
}

void
wp_inbox_free (WpInbox *self)
{
  g_queue_clear_full (&self->waiting, waiting_frame_free);
  g_clear_error (&self->error);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* TRUE: a frame. FALSE without self->error: none has come. Only the board comes with a descriptor. */
static gboolean
read_frame (WpInbox *self,
            WpFrame *frame)
{
  int attached = -1;

  if (self->error != NULL || !wp_channel_receive (self->channel, frame, &attached, &self->error))
    return FALSE;

  if (attached >= 0)
    close (attached);

  return TRUE;
}

gboolean
wp_inbox_take (WpInbox *self,
               WpFrame *frame,
               GError **error)
{
  WpFrame *waiting = g_queue_pop_head (&self->waiting);

  if (waiting != NULL)
    {
      *frame = *waiting;
      g_free (waiting);
      return TRUE;
    }

  if (read_frame (self, frame))
    return TRUE;

  if (self->error != NULL)
    g_propagate_error (error, g_error_copy (self->error));
  return FALSE;
}

gboolean
wp_inbox_has_frame (WpInbox *self)
{
  return !g_queue_is_empty (&self->waiting) || wp_channel_has_input (self->channel);
}

void
wp_inbox_poll (WpInbox *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);
  WpFrame frame;

  while (read_frame (self, &frame))
    {
      if (self->func (&frame, self->data, &self->error))
        wp_frame_clear (&frame);
      else
        g_queue_push_tail (&self->waiting, g_memdup2 (&frame, sizeof frame));
    }
}

gboolean
wp_inbox_has_ended (WpInbox *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  return self->error != NULL;
}

int
wp_inbox_get_fd (WpInbox *self)
{
  return wp_channel_get_input_fd (self->channel);
}
