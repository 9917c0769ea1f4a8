/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-event-callback.h"

struct _WpEventCallback
{
  gatomicrefcount ref_count;
  WpEventFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
};

WpEventCallback *
wp_event_callback_new (WpEventFunc func, gpointer user_data, GDestroyNotify destroy)
{
  WpEventCallback *self = g_new0 (WpEventCallback, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;

  return self;
}

WpEventCallback *
wp_event_callback_ref (WpEventCallback *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
wp_event_callback_unref (WpEventCallback *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  if (self->destroy != NULL)
    self->destroy (self->user_data);
  g_free (self);
}

void
wp_event_callback_call (WpEventCallback *self, guint64 index, GVariant *value)
{
  self->func (index, value, self->user_data);
}
