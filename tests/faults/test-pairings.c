/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools inside of workers, by every pairing of start methods: what comes out is what went on inside. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "census.h"
#include "descend.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#define N_NESTED 300
#define N_NESTED_SLOW 10000
/* Of three levels, outside of the long form. */
#define N_TRIPLES 12

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
};

/* The start methods of the outer pool, and those of the pools inside. */
typedef struct
{
  WpStartMethod outer;
  char *path; /* as by "descend" */
  guint n_levels;
  guint n_threads;         /* levels whose worker is a thread */
  gboolean thread_innermost;
} Pairing;

static Pairing *
make_pairing (const WpStartMethod *methods, guint n)
{
  Pairing *pairing = g_new0 (Pairing, 1);
  g_autoptr (GString) path = g_string_new (NULL);

  pairing->outer = methods[0];
  pairing->n_levels = n;
  for (guint i = 0; i < n; i++)
    pairing->n_threads += methods[i] == WP_START_METHOD_THREADING;
  pairing->thread_innermost = methods[n - 1] == WP_START_METHOD_THREADING;
  for (guint i = 1; i < n; i++)
    g_string_append_printf (path, "%s%s", i > 1 ? " " : "", get_method_name (methods[i]));
  pairing->path = g_strdup (path->str);

  return pairing;
}

static void
pairing_free (Pairing *pairing)
{
  g_free (pairing->path);
  g_free (pairing);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Pairing, pairing_free)

static Pairing *
make_random_pairing (guint n)
{
  WpStartMethod methods[4], chosen[3];
  static guint n_methods;
  static WpStartMethod known[4];

  if (n_methods == 0)
    {
      n_methods = list_start_methods (methods);
      memcpy (known, methods, sizeof known);
    }
  for (guint i = 0; i < n; i++)
    chosen[i] = known[g_test_rand_int_range (0, n_methods)];

  return make_pairing (chosen, n);
}

static void
for_each_pairing (void (*check) (const Pairing *pairing))
{
  WpStartMethod methods[4];
  guint n_methods = list_start_methods (methods);

  for (guint outer = 0; outer < n_methods; outer++)
    for (guint inner = 0; inner < n_methods; inner++)
      {
        const WpStartMethod two[] = { methods[outer], methods[inner] };
        g_autoptr (Pairing) pairing = make_pairing (two, 2);

        g_test_message ("%s: %s", get_method_name (pairing->outer), pairing->path);
        scratch_reset ();
        check (pairing);

        for (guint innermost = 0; innermost < n_methods && g_test_slow (); innermost++)
          {
            const WpStartMethod three[] = { methods[outer], methods[inner], methods[innermost] };
            g_autoptr (Pairing) triple = make_pairing (three, 3);

            g_test_message ("%s: %s", get_method_name (triple->outer), triple->path);
            scratch_reset ();
            check (triple);
          }
      }

  for (guint i = 0; i < N_TRIPLES && !g_test_slow (); i++)
    {
      g_autoptr (Pairing) pairing = make_random_pairing (3);

      g_test_message ("%s: %s", get_method_name (pairing->outer), pairing->path);
      scratch_reset ();
      check (pairing);
    }
}

static WpWorkerPool *
make_outer_pool (const Pairing *pairing, guint n_jobs)
{
  WpWorkerPool *pool = make_pool_by (pairing->outer, n_jobs);

  wp_worker_pool_set_daemon (pool, FALSE);
  return pool;
}

static GVariant *
apply_inside (const Pairing *pairing, const char *function, GVariant *args, GError **error)
{
  g_autoptr (WpWorkerPool) pool = make_outer_pool (pairing, 1);
  GVariant *result;

  result = wp_worker_pool_apply (pool, "descend", make_descent (pairing->path, function, args), NULL, NULL, error);
  join_pool (pool);
  return result;
}

/* What comes out */

static void
check_results (const Pairing *pairing)
{
  g_autoptr (WpWorkerPool) pool = make_outer_pool (pairing, 2);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  GVariantBuilder items;

  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(ssv)"));
  for (guint64 i = 0; i < 3; i++)
    g_variant_builder_add_value (&items, make_descent (pairing->path, "record", g_variant_new_uint64 (i)));
  results = wp_worker_pool_map (pool, "descend", g_variant_builder_end (&items), options, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 3);
  for (guint64 i = 0; i < 3; i++)
    g_assert_cmpuint (task_get_n_ended (i), ==, 1);
  join_pool (pool);
}

static void
test_results (void)
{
  for_each_pairing (check_results);
}

static void
check_error (const Pairing *pairing)
{
  g_autofree char *pattern =
      g_strdup_printf ("it is a folder( ← worker 0 \\((pid [0-9]+|a thread)\\)){%u}$", pairing->n_levels);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  guint n_threads = 0;

  result = apply_inside (pairing, "fail", g_variant_new_boolean (TRUE), &error);
  g_assert_null (result);
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
  if (!g_regex_match_simple (pattern, error->message, 0, 0))
    g_error ("“%s” does not name %u workers", error->message, pairing->n_levels);
  for (const char *s = error->message; (s = strstr (s, "(a thread)")) != NULL; s++)
    n_threads++;
  g_assert_cmpuint (n_threads, ==, pairing->n_threads);
}

static void
test_error (void)
{
  for_each_pairing (check_error);
}

static void
check_kill (const Pairing *pairing)
{
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  /* It would be this process that is killed. */
  if (pairing->n_threads == pairing->n_levels)
    return;

  result = apply_inside (pairing, "die", g_variant_new ("(tsu)", G_GUINT64_CONSTANT (0), "SIGKILL", G_MAXUINT), &error);
  g_assert_null (result);
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_message (error, "was killed by signal 9");
  g_assert_cmpuint (task_get_n_begun (0), ==, 1);
}

static void
test_kill (void)
{
  for_each_pairing (check_kill);
}

static void
check_daemonic (const Pairing *pairing)
{
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  /* Inside of "descend" only the innermost worker is daemonic. */
  if (pairing->n_levels > 2)
    return;

  pool = make_pool_by (pairing->outer, 1);
  result = wp_worker_pool_apply (pool, "descend",
                                 make_descent (pairing->path, "echo", g_variant_new_boolean (TRUE)), NULL, NULL,
                                 &error);
  g_assert_null (result);
  g_assert_error (error, WP_ERROR, WP_ERROR_NESTED);
  assert_message (error,
                  "daemonic workers are not allowed to have children pools; set daemon=FALSE on the outer pool");
  g_clear_error (&error);

  /* The worker is as good as before. */
  result = wp_worker_pool_apply (pool, "echo", g_variant_new_uint64 (1), NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint64 (result), ==, 1);
  join_pool (pool);
}

static void
test_daemonic (void)
{
  for_each_pairing (check_daemonic);
}

/* The end from outside */

/* A thread can only be asked to end. */
static GVariant *
make_endless (const Pairing *pairing)
{
  return make_descent (pairing->path, pairing->thread_innermost ? "obey" : "hold",
                       g_variant_new ("(uu)", RUNNING, GATE));
}

static void
check_cancel (const Pairing *pairing)
{
  g_autoptr (WpWorkerPool) pool = make_outer_pool (pairing, 1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_apply_async (pool, "descend", make_endless (pairing), NULL, cancellable, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  g_cancellable_cancel (cancellable);
  iterate_until (&outcome.done);
  g_assert_null (outcome.value);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  join_pool (pool);
}

static void
test_cancel (void)
{
  for_each_pairing (check_cancel);
}

static void
check_terminate (const Pairing *pairing)
{
  g_autoptr (WpWorkerPool) pool = make_outer_pool (pairing, 1);
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_apply_async (pool, "descend", make_endless (pairing), NULL, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  wp_worker_pool_terminate (pool);
  join_pool (pool);
  iterate_until (&outcome.done);
  g_assert_null (outcome.value);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_terminate (void)
{
  for_each_pairing (check_terminate);
}

/* Many */

static void
fail_inside (const Pairing *pairing)
{
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  if (pairing->n_threads < pairing->n_levels && g_test_rand_bit ())
    {
      result = apply_inside (pairing, "die", g_variant_new ("(tsu)", G_GUINT64_CONSTANT (0), "SIGKILL", G_MAXUINT),
                             &error);
      g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
    }
  else
    {
      result = apply_inside (pairing, "fail", g_variant_new_boolean (TRUE), &error);
      g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
    }
  g_assert_null (result);
}

static void
test_many (void)
{
  const guint n = g_test_slow () ? N_NESTED_SLOW : N_NESTED;
  gint64 worst = 0;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (Pairing) pairing = make_random_pairing (2);
      g_autofree char *what =
          g_strdup_printf ("nested pool %u, %s: %s", i, get_method_name (pairing->outer), pairing->path);
      const gint64 start = g_get_monotonic_time ();
      gint64 duration;

      expect_end (what);
      fail_inside (pairing);
      expect_end (NULL);

      duration = g_get_monotonic_time () - start;
      if (duration > worst)
        g_test_message ("%s: %" G_GINT64_FORMAT " ms", what, duration / 1000);
      worst = MAX (worst, duration);
      if ((i + 1) % 1000 == 0)
        g_test_message ("%u nested pools have ended", i + 1);
    }
  g_test_message ("%u nested pools with an error ended, each within %" G_GINT64_FORMAT " ms; none hung", n,
                  worst / 1000);
}

static const FaultTest tests[] = {
  { "/pairings/comes-out/results", test_results },
  { "/pairings/comes-out/error-with-its-way", test_error },
  { "/pairings/comes-out/kill", test_kill },
  { "/pairings/comes-out/daemonic-refuses", test_daemonic },
  { "/pairings/goes-in/cancel", test_cancel },
  { "/pairings/goes-in/terminate", test_terminate },
  { "/pairings/many/errors-never-hang", test_many },
};

int
main (int argc, char **argv)
{
  int status;

  register_descend ();
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
