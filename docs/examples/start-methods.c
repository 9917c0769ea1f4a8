/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>
#include <workerpool.h>

/* What takes long to load, and so is loaded once. */
static guint n_words;

/* What a worker sees: how many words this program has loaded, and whether it runs in the program's own process. */
static GVariant *
look (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const gboolean is_owner = g_variant_get_int32 (args) == (gint32) getpid ();

  return g_variant_new ("(ub)", n_words, is_owner);
}

static GVariant *
load_words (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  n_words = 100000;

  return g_variant_new_uint32 (n_words);
}

static void
try_start_method (WpStartMethod start_method, const char *name, const char *preload_function)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (GVariant) seen = NULL;
  g_autoptr (GError) error = NULL;
  gboolean is_owner;
  guint n_seen;

  wp_worker_pool_set_start_method (pool, start_method);
  wp_worker_pool_set_preload_function (pool, preload_function);
  seen = wp_worker_pool_apply (pool, "look", g_variant_new_int32 (getpid ()), NULL, NULL, &error);
  if (seen == NULL || !wp_worker_pool_stop_and_join (pool, NULL, &error))
    g_error ("%s", error->message);

  g_variant_get (seen, "(ub)", &n_seen, &is_owner);
  g_print ("%s: %u words, in %s process\n", name, n_seen, is_owner ? "this" : "another");
}

int
main (int argc, char *argv[])
{
  wp_register_function ("load-words", load_words, NULL, NULL);
  wp_register_function ("look", look, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  n_words = 100000;
  try_start_method (WP_START_METHOD_FORK, "fork", NULL);
  try_start_method (WP_START_METHOD_THREADING, "threading", NULL);
  try_start_method (WP_START_METHOD_FORKSERVER, "forkserver", NULL);
  try_start_method (WP_START_METHOD_FORKSERVER, "forkserver, preloaded", "load-words");
  try_start_method (WP_START_METHOD_SPAWN, "spawn", NULL);

  return 0;
}
