/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-retry-errors.h"

#include "pool/wp-task-options.h"

typedef struct
{
  GQuark domain;
  int code; /* or WP_RETRY_ANY_CODE */
} ErrorKind;

struct _WpRetryErrors
{
  gatomicrefcount ref_count;
  guint n_kinds;
  ErrorKind kinds[];
};

WpRetryErrors *
wp_retry_errors_new (const WpRetryErrors *others, GQuark domain, int code)
{
  const guint n_others = others != NULL ? others->n_kinds : 0;
  WpRetryErrors *self = g_malloc (sizeof *self + (n_others + 1) * sizeof (ErrorKind));

  g_atomic_ref_count_init (&self->ref_count);
  self->n_kinds = n_others + 1;
  for (guint i = 0; i < n_others; i++)
    self->kinds[i] = others->kinds[i];
  self->kinds[n_others] = (ErrorKind){ domain, code };

  return self;
}

WpRetryErrors *
wp_retry_errors_ref (WpRetryErrors *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
wp_retry_errors_unref (WpRetryErrors *self)
{
  if (g_atomic_ref_count_dec (&self->ref_count))
    g_free (self);
}

gboolean
wp_retry_errors_contain (const WpRetryErrors *self, const GError *error)
{
  for (guint i = 0; i < self->n_kinds; i++)
    if (self->kinds[i].domain == error->domain &&
        (self->kinds[i].code == error->code || self->kinds[i].code == WP_RETRY_ANY_CODE))
      return TRUE;

  return FALSE;
}
