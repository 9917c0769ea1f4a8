/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "descend.h"

#include <string.h>

#include "helpers.h"

/* How often a task that waits for others asks whether it is cancelled. */
#define ASK_MS 2
/* Short of the default, which the pool above has: it is to see a task end that was cancelled. */
#define GRACE_MS 50

typedef struct
{
  WpTaskContext *context;
  GCancellable *cancellable;
} Descent;

static gboolean
pass_on_cancellation (gpointer data)
{
  Descent *descent = data;

  if (wp_task_context_is_cancelled (descent->context))
    g_cancellable_cancel (descent->cancellable);
  return G_SOURCE_CONTINUE;
}

static GVariant *
descend (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GMainContext) loop = g_main_context_ref_thread_default ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSource) asking = g_timeout_source_new (ASK_MS);
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) function_args = NULL;
  g_auto (Outcome) outcome = { 0 };
  g_auto (GStrv) path = NULL;
  Descent descent = { context, cancellable };
  const char *methods, *function;
  gboolean lasts;

  g_variant_get (args, "(&s&sv)", &methods, &function, &function_args);
  path = g_strsplit (methods, " ", 2);
  lasts = g_str_has_suffix (path[0], LASTING);
  if (lasts)
    path[0][strlen (path[0]) - strlen (LASTING)] = '\0';
  pool = make_pool_by (get_method_by_name (path[0]), 1);
  wp_worker_pool_set_daemon (pool, path[1] == NULL && !lasts);
  wp_worker_pool_set_grace_period (pool, GRACE_MS);

  g_source_set_callback (asking, pass_on_cancellation, &descent, NULL);
  g_source_attach (asking, loop);
  if (path[1] != NULL)
    wp_worker_pool_apply_async (pool, "descend", make_descent (path[1], function, function_args), NULL, cancellable,
                                on_applied, &outcome);
  else
    wp_worker_pool_apply_async (pool, function, function_args, NULL, cancellable, on_applied, &outcome);
  while (!outcome.done)
    g_main_context_iteration (loop, TRUE);
  g_source_destroy (asking);

  if (outcome.error != NULL)
    g_propagate_error (error, g_steal_pointer (&outcome.error));
  return g_steal_pointer (&outcome.value);
}

GVariant *
make_descent (const char *path, const char *function, GVariant *args)
{
  return g_variant_new ("(ssv)", path, function, args);
}

void
register_descend (void)
{
  wp_register_function ("descend", descend, NULL, NULL);
}
