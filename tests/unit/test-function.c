/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "worker/wp-function-private.h"
#include "worker/wp-module.h"

#define N_THREADS 4
#define N_REGISTRATIONS 2000

static int n_destroyed; /* atomic */

static GVariant *
return_number (WpTaskContext *context,
               GVariant      *args,
               gpointer       user_data,
               GError       **error)
{
  return g_variant_new_int32 (GPOINTER_TO_INT (user_data));
}

static void
count_destroy (gpointer data)
{
  g_atomic_int_inc (&n_destroyed);
}

static int
call (WpFunction *function)
{
  g_autoptr (GVariant) result = NULL;

  result = g_variant_ref_sink (wp_function_call (function, NULL, NULL, NULL));

  return g_variant_get_int32 (result);
}

static char *
get_module_name (const char *symbol)
{
  return g_strdup_printf ("%s:%s", g_getenv ("WORKERPOOL_TEST_MODULE"), symbol);
}

static void
test_makes_host (void)
{
  g_assert_false (wp_process_is_host ());
  wp_register_function ("host", return_number, NULL, NULL);
  g_assert_true (wp_process_is_host ());
  g_assert_true (wp_unregister_function ("host"));
}

static void
test_list_is_sorted (void)
{
  g_auto (GStrv) names = NULL;

  wp_register_function ("b", return_number, NULL, NULL);
  wp_register_function ("ä", return_number, NULL, NULL);
  wp_register_function ("a", return_number, NULL, NULL);

  names = wp_list_functions ();
  g_assert_cmpstrv (names, ((const char *const[]) { "a", "b", "ä", NULL }));

  g_assert_true (wp_unregister_function ("a"));
  g_assert_true (wp_unregister_function ("b"));
  g_assert_true (wp_unregister_function ("ä"));
  g_assert_false (wp_unregister_function ("a"));

  g_clear_pointer (&names, g_strfreev);
  names = wp_list_functions ();
  g_assert_cmpuint (g_strv_length (names), ==, 0);
}

static void
test_replaced_outlives_its_tasks (void)
{
  g_autoptr (WpFunction) old = NULL;
  g_autoptr (WpFunction) replacement = NULL;
  g_autoptr (GError) error = NULL;

  n_destroyed = 0;
  wp_register_function ("f", return_number, GINT_TO_POINTER (1), count_destroy);
  old = wp_function_lookup ("f", &error);
  g_assert_no_error (error);

  wp_register_function ("f", return_number, GINT_TO_POINTER (2), count_destroy);
  g_assert_cmpint (n_destroyed, ==, 0);
  g_assert_cmpint (call (old), ==, 1);
  g_clear_pointer (&old, wp_function_unref);
  g_assert_cmpint (n_destroyed, ==, 1);

  replacement = wp_function_lookup ("f", &error);
  g_assert_no_error (error);
  g_assert_cmpint (call (replacement), ==, 2);
  g_assert_true (wp_unregister_function ("f"));
  g_assert_cmpint (n_destroyed, ==, 1);
  g_clear_pointer (&replacement, wp_function_unref);
  g_assert_cmpint (n_destroyed, ==, 2);
}

static void
register_another (gpointer data)
{
  g_auto (GStrv) names = wp_list_functions ();

  g_assert_nonnull (names);
  wp_register_function ("from-destroy", return_number, NULL, NULL);
}

static void
test_destroy_may_use_registry (void)
{
  wp_register_function ("f", return_number, NULL, register_another);
  wp_register_function ("f", return_number, NULL, NULL);
  g_assert_true (wp_unregister_function ("from-destroy"));

  wp_register_function ("f", return_number, NULL, register_another);
  g_assert_true (wp_unregister_function ("f"));
  g_assert_true (wp_unregister_function ("from-destroy"));
}

static void
test_bad_names_are_refused (void)
{
  g_autofree char *too_long = g_strnfill (1025, 'x');
  g_autofree char *longest = g_strnfill (1024, 'x');
  const char *bad_names[] = { NULL, "", "a\nb", "\x1b[2J", "a\xc2\x85" "b", "caf\xe9", too_long };
  g_auto (GStrv) names = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad_names); i++)
    {
      g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*name*");
      wp_register_function (bad_names[i], return_number, NULL, NULL);
      g_test_assert_expected_messages ();
    }

  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*function*");
  wp_register_function ("f", NULL, NULL, NULL);
  g_test_assert_expected_messages ();

  names = wp_list_functions ();
  g_assert_cmpuint (g_strv_length (names), ==, 0);

  wp_register_function (longest, return_number, NULL, NULL);
  g_assert_true (wp_unregister_function (longest));
}

static void
test_unknown_says_what_is_known (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_function_lookup ("x", &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (error->message, "“x”"));
  g_assert_nonnull (strstr (error->message, "registered none"));
  g_clear_error (&error);

  for (guint i = 0; i < 30; i++)
    {
      g_autofree char *name = g_strdup_printf ("f%02u", i);

      wp_register_function (name, return_number, NULL, NULL);
    }

  g_assert_null (wp_function_lookup ("x", &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (error->message, "it knows: f00, f01"));
  g_assert_nonnull (strstr (error->message, "f19 and 10 more"));
  g_assert_null (strstr (error->message, "f20"));

  for (guint i = 0; i < 30; i++)
    {
      g_autofree char *name = g_strdup_printf ("f%02u", i);

      g_assert_true (wp_unregister_function (name));
    }
}

static gpointer
register_often (gpointer data)
{
  for (guint i = 0; i < N_REGISTRATIONS; i++)
    {
      g_autoptr (WpFunction) function = NULL;

      wp_register_function ("shared", return_number, GINT_TO_POINTER (7), count_destroy);
      function = wp_function_lookup ("shared", NULL);
      if (function != NULL)
        g_assert_cmpint (call (function), ==, 7);
      if (i % 3 == 0)
        wp_unregister_function ("shared");
    }

  return NULL;
}

static void
test_threads_destroy_once (void)
{
  GThread *threads[N_THREADS];

  n_destroyed = 0;
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("register", register_often, NULL);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);

  wp_unregister_function ("shared");
  g_assert_cmpint (n_destroyed, ==, N_THREADS * N_REGISTRATIONS);
}

static void
test_module_function_is_found (void)
{
  g_autofree char *name = get_module_name ("widen");
  g_autoptr (WpFunction) function = NULL;
  g_autoptr (WpFunction) again = NULL;
  g_autoptr (GVariant) args = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  function = wp_function_lookup (name, &error);
  g_assert_no_error (error);
  args = g_variant_ref_sink (g_variant_new_int32 (-3));
  result = g_variant_ref_sink (wp_function_call (function, NULL, args, NULL));
  g_assert_cmpint (g_variant_get_int64 (result), ==, -3);

  again = wp_function_lookup (name, &error);
  g_assert_true (again == function);
}

static void
test_registry_comes_before_modules (void)
{
  g_autofree char *name = get_module_name ("widen");
  g_autoptr (WpFunction) function = NULL;

  wp_register_function (name, return_number, GINT_TO_POINTER (5), NULL);
  function = wp_function_lookup (name, NULL);
  g_assert_cmpint (call (function), ==, 5);
  g_assert_true (wp_unregister_function (name));
}

static void
test_missing_symbol_says_what_is_declared (void)
{
  g_autofree char *name = get_module_name ("absent");
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_function_lookup (name, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (error->message, "“absent”"));
  g_assert_nonnull (strstr (error->message, "it declares: identity, widen, fail, crash"));
}

/* The module is linked to the C library, and the loader would find abort () through it. */
static void
test_symbols_of_libraries_are_not_functions (void)
{
  g_autofree char *name = get_module_name ("abort");
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_function_lookup (name, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
}

static void
test_missing_module_says_why (void)
{
  g_autofree char *not_a_module = g_strdup_printf ("%s:f", "/proc/self/status");
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_function_lookup ("/nowhere/absent.so:f", &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (error->message, "/nowhere/absent.so"));
  g_assert_nonnull (strstr (error->message, "No such file"));
  g_clear_error (&error);

  g_assert_null (wp_function_lookup (not_a_module, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
}

static void
test_module_names_have_one_form (void)
{
  g_assert_true (wp_module_is_function_name ("/a/b.so:f"));
  g_assert_true (wp_module_is_function_name ("/a:b/c.so:f"));
  g_assert_false (wp_module_is_function_name ("a/b.so:f"));
  g_assert_false (wp_module_is_function_name ("/a/b.so"));
  g_assert_false (wp_module_is_function_name ("/a/b.so:"));
  g_assert_false (wp_module_is_function_name ("/a:b/c.so"));
  g_assert_false (wp_module_is_function_name ("/a/:f"));
  g_assert_false (wp_module_is_function_name ("/:f"));
  g_assert_false (wp_module_is_function_name (""));
  g_assert_false (wp_module_is_function_name (":"));
}

static void
test_module_lists_what_it_declares (void)
{
  g_autofree char *first = get_module_name ("identity");
  g_auto (GStrv) names = NULL;
  g_autoptr (WpFunction) function = NULL;
  g_autoptr (GError) error = NULL;

  names = wp_module_list_functions (g_getenv ("WORKERPOOL_TEST_MODULE"), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (names), ==, 4);
  g_assert_cmpstr (names[0], ==, first);
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_clear_pointer (&function, wp_function_unref);
      function = wp_function_lookup (names[i], &error);
      g_assert_no_error (error);
    }

  g_assert_null (wp_module_list_functions ("relative.so", &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  g_clear_error (&error);
  g_assert_null (wp_module_list_functions ("/nowhere/absent.so", &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/worker/function/registering-makes-a-host", test_makes_host);
  g_test_add_func ("/worker/function/list-is-sorted", test_list_is_sorted);
  g_test_add_func ("/worker/function/replaced-function-outlives-its-tasks", test_replaced_outlives_its_tasks);
  g_test_add_func ("/worker/function/destroy-may-use-the-registry", test_destroy_may_use_registry);
  g_test_add_func ("/worker/function/bad-names-are-refused", test_bad_names_are_refused);
  g_test_add_func ("/worker/function/unknown-name-says-what-is-known", test_unknown_says_what_is_known);
  g_test_add_func ("/worker/function/threads-destroy-each-registration-once", test_threads_destroy_once);
  g_test_add_func ("/worker/module/function-is-found", test_module_function_is_found);
  g_test_add_func ("/worker/module/registry-comes-first", test_registry_comes_before_modules);
  g_test_add_func ("/worker/module/missing-symbol-says-what-is-declared", test_missing_symbol_says_what_is_declared);
  g_test_add_func ("/worker/module/symbols-of-libraries-are-not-functions",
                   test_symbols_of_libraries_are_not_functions);
  g_test_add_func ("/worker/module/missing-module-says-why", test_missing_module_says_why);
  g_test_add_func ("/worker/module/names-have-one-form", test_module_names_have_one_form);
  g_test_add_func ("/worker/module/lists-what-it-declares", test_module_lists_what_it_declares);

  return g_test_run ();
}
