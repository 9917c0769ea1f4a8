/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-insights.h"
#include "pool/wp-time-histogram.h"

#include <math.h>
#include <string.h>

#include "bracketed-tests.h"
#include "insights-numbers.h"

#define S G_GINT64_CONSTANT (1000000000)

/* The histogram */

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const gint64 one = *(const gint64 *) a;
  const gint64 other = *(const gint64 *) b;

  return (one > other) - (one < other);
}

static void
assert_percentiles (GArray *times)
{
  static const double fractions[] = { 1e-9, 0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1 };
  g_autoptr (WpTimeHistogram) histogram = wp_time_histogram_new ();

  for (guint i = 0; i < times->len; i++)
    wp_time_histogram_add (histogram, g_array_index (times, gint64, i));
  g_array_sort (times, compare_times);

  for (guint i = 0; i < G_N_ELEMENTS (fractions); i++)
    {
      const guint rank = (guint) ceil (fractions[i] * times->len);
      const double exact = (double) g_array_index (times, gint64, rank - 1);
      const double found = wp_time_histogram_get_percentile (histogram, fractions[i]);

      g_assert_cmpfloat (fabs (found - exact), <=, exact * WP_TIME_HISTOGRAM_MAX_ERROR);
    }
}

/* Even, exponential, and over many orders of magnitude. */
static gint64
draw_time (guint kind)
{
  const double random = g_test_rand_double ();

  switch (kind)
    {
    case 0:
      return (gint64) (random * 1e6);
    case 1:
      return (gint64) (-log (1 - random) * 1e5);
    case 2:
      return (gint64) exp (random * 43);
    default:
      return (gint64) (random * 100);
    }
}

static void
test_percentiles (void)
{
  for (guint round = 0; round < 40; round++)
    {
      g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
      const guint n = round < 8 ? round + 1 : 5000;

      for (guint i = 0; i < n; i++)
        {
          const gint64 time = draw_time (round % 4);

          g_array_append_val (times, time);
        }
      assert_percentiles (times);
    }
}

/* Each power of two, and what is beside it. */
static void
test_any_time (void)
{
  for (guint bit = 0; bit < 63; bit++)
    for (int beside = -1; beside <= 1; beside++)
      {
        const gint64 time = (gint64) (G_GUINT64_CONSTANT (1) << bit) + beside;
        g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));

        g_array_append_val (times, time);
        assert_percentiles (times);
      }

  {
    const gint64 longest = G_MAXINT64;
    g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
    g_autoptr (WpTimeHistogram) none = wp_time_histogram_new ();

    g_array_append_val (times, longest);
    assert_percentiles (times);
    g_assert_cmpfloat (wp_time_histogram_get_percentile (none, 0.5), ==, 0);
  }
}

/* What the workers do */

static guint64
look_up_tasks (GVariant *insights, guint worker)
{
  g_autoptr (GVariant) array = g_variant_lookup_value (insights, "n_completed_tasks", G_VARIANT_TYPE ("at"));
  guint64 value;

  g_variant_get_child (array, worker, "t", &value);

  return value;
}

static void
assert_near (double one, double other)
{
  g_assert_cmpfloat (fabs (one - other), <=, 1e-9 * MAX (fabs (other), 1));
}

static void
assert_parts (GVariant *insights,
              guint     worker,
              double    start_up,
              double    init,
              double    waiting,
              double    working,
              double    end)
{
  assert_near (look_up_worker (insights, "start_up_time", worker), start_up);
  assert_near (look_up_worker (insights, "init_time", worker), init);
  assert_near (look_up_worker (insights, "waiting_time", worker), waiting);
  assert_near (look_up_worker (insights, "working_time", worker), working);
  assert_near (look_up_worker (insights, "exit_time", worker), end);
  assert_near (look_up_worker (insights, "time", worker), start_up + init + waiting + working + end);
}

static void
add_task (WpInsights *insights, guint worker, gint64 started, gint64 elapsed)
{
  const WpInsightsTask task = { .started = started, .elapsed = elapsed, .waited = -1 };

  wp_insights_add_task (insights, worker, &task);
}

static void
test_one_life (void)
{
  g_autoptr (WpInsights) insights = wp_insights_new (1);
  g_autoptr (GVariant) before = NULL;
  g_autoptr (GVariant) while_starting = NULL;
  g_autoptr (GVariant) while_running = NULL;
  g_autoptr (GVariant) while_ending = NULL;
  g_autoptr (GVariant) after = NULL;
  const gint64 running = 117 * S;

  before = wp_insights_get (insights, 50 * S, NULL);
  assert_parts (before, 0, 0, 0, 0, 0, 0);

  wp_insights_launched (insights, 0, 100 * S);
  while_starting = wp_insights_get (insights, 103 * S, NULL);
  assert_parts (while_starting, 0, 3, 0, 0, 0, 0);

  wp_insights_ready (insights, 0, 105 * S);
  wp_insights_initialized (insights, 0, 2 * S);
  add_task (insights, 0, 108 * S, 3 * S);
  add_task (insights, 0, 111 * S, 1 * S);
  while_running = wp_insights_get (insights, 120 * S, &running);
  assert_parts (while_running, 0, 5, 2, 6, 7, 0);
  add_task (insights, 0, 117 * S, 4 * S);

  wp_insights_asked (insights, 0, 125 * S);
  wp_insights_asked (insights, 0, 127 * S);
  while_ending = wp_insights_get (insights, 126 * S, NULL);
  assert_parts (while_ending, 0, 5, 2, 10, 8, 1);

  wp_insights_ended (insights, 0, 129 * S);
  wp_insights_ended (insights, 0, 140 * S);
  after = wp_insights_get (insights, 1000 * S, NULL);
  assert_parts (after, 0, 5, 2, 10, 8, 4);
  g_assert_cmpuint (look_up_tasks (after, 0), ==, 3);
}

/* The id goes on, and times add up. */
static void
test_replaced (void)
{
  g_autoptr (WpInsights) insights = wp_insights_new (2);
  g_autoptr (GVariant) report = NULL;
  const WpInsightsTask last = { .started = 13 * S, .elapsed = 2 * S, .waited = -1, .interrupted = TRUE };

  wp_insights_launched (insights, 1, 10 * S);
  wp_insights_ready (insights, 1, 11 * S);
  add_task (insights, 1, 11 * S, 1 * S);
  /* Killed for a task that takes too long: it works until it is dead. */
  wp_insights_asked (insights, 1, 14 * S);
  wp_insights_add_task (insights, 1, &last);
  wp_insights_ended (insights, 1, 15 * S);
  /* Dies before it is ready. */
  wp_insights_launched (insights, 1, 20 * S);
  wp_insights_ended (insights, 1, 24 * S);
  wp_insights_launched (insights, 1, 30 * S);
  wp_insights_ready (insights, 1, 32 * S);
  add_task (insights, 1, 33 * S, 2 * S);

  report = wp_insights_get (insights, 40 * S, NULL);
  assert_parts (report, 0, 0, 0, 0, 0, 0);
  assert_parts (report, 1, 1 + 4 + 2, 0, 1 + 6, 3 + 2, 0);
  g_assert_cmpuint (look_up_tasks (report, 0), ==, 0);
  g_assert_cmpuint (look_up_tasks (report, 1), ==, 2);
}

static void
test_statistics (void)
{
  g_autoptr (WpInsights) insights = wp_insights_new (3);
  g_autoptr (GVariant) report = NULL;

  for (guint i = 0; i < 2; i++)
    {
      wp_insights_launched (insights, i, 0 + 1);
      wp_insights_ready (insights, i, (2 + 2 * i) * S + 1);
      add_task (insights, i, 5 * S + 1, 3 * S);
      wp_insights_ended (insights, i, 10 * S + 1);
    }

  /* The third was never launched: it has no place in the means. */
  report = wp_insights_get (insights, 20 * S, NULL);
  assert_near (look_up (report, "total_start_up_time"), 6);
  assert_near (look_up (report, "start_up_time_mean"), 3);
  assert_near (look_up (report, "start_up_time_std"), 1);
  assert_near (look_up (report, "start_up_ratio"), 0.3);
  assert_near (look_up (report, "total_init_time"), 0);
  assert_near (look_up (report, "init_time_mean"), 0);
  assert_near (look_up (report, "init_time_std"), 0);
  assert_near (look_up (report, "init_ratio"), 0);
  assert_near (look_up (report, "total_waiting_time"), 8);
  assert_near (look_up (report, "waiting_time_mean"), 4);
  assert_near (look_up (report, "waiting_time_std"), 1);
  assert_near (look_up (report, "waiting_ratio"), 0.4);
  assert_near (look_up (report, "total_working_time"), 6);
  assert_near (look_up (report, "working_time_mean"), 3);
  assert_near (look_up (report, "working_time_std"), 0);
  assert_near (look_up (report, "working_ratio"), 0.3);
  assert_near (look_up (report, "total_exit_time"), 0);
  assert_near (look_up (report, "total_time"), 20);
}

/* Whatever is told, and in whichever order, the parts of each worker add up to its life. */
static void
test_add_up (void)
{
  for (guint round = 0; round < 3000; round++)
    {
      g_autoptr (WpInsights) insights = wp_insights_new (3);
      gint64 alive_since[3] = { 0 };
      gint64 lived[3] = { 0 };
      gint64 now = 1;

      for (guint step = 0; step < 40; step++)
        {
          const guint worker = g_test_rand_int_range (0, 3);

          now += g_test_rand_int_range (0, 1000);
          switch (g_test_rand_int_range (0, 6))
            {
            case 0:
              if (alive_since[worker] == 0)
                {
                  wp_insights_launched (insights, worker, now);
                  alive_since[worker] = now;
                }
              break;
            case 1:
              if (alive_since[worker] != 0)
                wp_insights_ready (insights, worker, now);
              break;
            case 2:
              wp_insights_initialized (insights, worker, g_test_rand_int_range (0, 3000));
              break;
            case 3:
              wp_insights_asked (insights, worker, now);
              break;
            case 4:
              add_task (insights, worker, now - g_test_rand_int_range (0, 3000), g_test_rand_int_range (0, 2000));
              break;
            default:
              wp_insights_ended (insights, worker, now);
              if (alive_since[worker] != 0)
                lived[worker] += now - alive_since[worker];
              alive_since[worker] = 0;
              break;
            }
        }

      {
        const gint64 running[3] = { now - 100, 0, now };
        g_autoptr (GVariant) report = wp_insights_get (insights, now, running);

        for (guint i = 0; i < 3; i++)
          {
            static const char *const keys[] = {
              "start_up_time", "init_time", "waiting_time", "working_time", "exit_time"
            };
            const double wall = (double) (lived[i] + (alive_since[i] != 0 ? now - alive_since[i] : 0)) / 1e9;
            double sum = 0;

            for (guint j = 0; j < G_N_ELEMENTS (keys); j++)
              {
                const double part = look_up_worker (report, keys[j], i);

                g_assert_cmpfloat (part, >=, 0);
                sum += part;
              }
            g_assert_cmpfloat (fabs (sum - wall), <=, 1e-12);
            g_assert_cmpfloat (fabs (look_up_worker (report, "time", i) - wall), <=, 1e-12);
          }
      }
    }
}

/* Tasks */

static void
test_longest (void)
{
  g_autoptr (WpInsights) insights = wp_insights_new (1);
  g_autoptr (GVariant) report = NULL;
  g_autoptr (GVariant) durations = NULL;
  g_autoptr (GVariant) args = NULL;
  guint n_printed = 0;
  gint64 now = S;

  wp_insights_launched (insights, 0, now);
  wp_insights_ready (insights, 0, now);
  for (guint frame = 0; frame < 10; frame++)
    {
      guint64 index;

      /* Each one is longer than all before it, and only the last five of a frame are asked for. */
      for (guint i = 0; i < 100; i++)
        {
          const guint number = frame * 100 + i;
          const WpInsightsTask task = { .started = now, .elapsed = number, .index = number, .waited = 7 };

          wp_insights_add_task (insights, 0, &task);
          now += 2000;
        }
      while (wp_insights_wants_args (insights, &index))
        {
          n_printed++;
          wp_insights_set_args (insights, index == 998 ? NULL : g_strdup_printf ("%" G_GUINT64_FORMAT, index));
        }
    }
  g_assert_cmpuint (n_printed, ==, 50);

  /* One that is as long as the last of them does not take its place. */
  add_task (insights, 0, now, 995);
  g_assert_false (wp_insights_wants_args (insights, &(guint64){ 0 }));

  report = wp_insights_get (insights, now + 2000, NULL);
  durations = g_variant_lookup_value (report, "top_5_max_task_durations", G_VARIANT_TYPE ("ad"));
  args = g_variant_lookup_value (report, "top_5_max_task_args", G_VARIANT_TYPE ("as"));
  g_assert_cmpuint (g_variant_n_children (durations), ==, WP_INSIGHTS_N_LONGEST);
  g_assert_cmpuint (g_variant_n_children (args), ==, WP_INSIGHTS_N_LONGEST);
  for (guint i = 0; i < WP_INSIGHTS_N_LONGEST; i++)
    {
      g_autofree char *expected = i == 1 ? g_strdup ("") : g_strdup_printf ("%u", 999 - i);
      const char *text;
      double seconds;

      g_variant_get_child (durations, i, "d", &seconds);
      g_variant_get_child (args, i, "&s", &text);
      assert_near (seconds * 1e9, 999 - i);
      g_assert_cmpstr (text, ==, expected);
    }
  g_assert_cmpuint (look_up_tasks (report, 0), ==, 1001);
}

/* A first run counts, and one that was interrupted has no run time. */
static void
test_task_times (void)
{
  g_autoptr (WpInsights) insights = wp_insights_new (1);
  g_autoptr (GVariant) report = NULL;

  wp_insights_launched (insights, 0, S);
  wp_insights_ready (insights, 0, S);
  for (guint i = 1; i <= 10; i++)
    {
      const WpInsightsTask task = {
        .started = 10 * i * S, .elapsed = i, .waited = i <= 5 ? (gint64) i : -1, .interrupted = i == 10
      };

      wp_insights_add_task (insights, 0, &task);
    }

  report = wp_insights_get (insights, 200 * S, NULL);
  g_assert_cmpuint (look_up_tasks (report, 0), ==, 9);
  assert_near (look_up (report, "run_time_p50") * 1e9, 5);
  assert_near (look_up (report, "run_time_p95") * 1e9, 9);
  assert_near (look_up (report, "run_time_p99") * 1e9, 9);
  assert_near (look_up (report, "wait_time_p50") * 1e9, 3);
  assert_near (look_up (report, "wait_time_p95") * 1e9, 5);
  assert_near (look_up (report, "wait_time_p99") * 1e9, 5);
}

static void
test_args (void)
{
  g_autofree char *long_text = g_strnfill (5000000, 'x');
  g_autofree char *wide_text = g_malloc0 (3 * 3000 + 1);
  g_autoptr (GPtrArray) values = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (guint i = 0; i < 3000; i++)
    memcpy (wide_text + 3 * i, "→", 3);
  g_assert_null (wp_insights_print_args (NULL));

  g_ptr_array_add (values, g_variant_ref_sink (g_variant_new_string (long_text)));
  g_ptr_array_add (values, g_variant_ref_sink (g_variant_new_string (wide_text)));
  g_ptr_array_add (values, g_variant_ref_sink (g_variant_new ("(s)", wide_text)));
  g_ptr_array_add (values, g_variant_ref_sink (g_variant_new_bytestring (long_text)));
  g_ptr_array_add (values, g_variant_ref_sink (g_variant_new_parsed ("[1, 2, 3]")));
  for (guint i = 0; i < values->len; i++)
    {
      g_autofree char *printed = wp_insights_print_args (values->pdata[i]);

      g_assert_true (g_utf8_validate (printed, -1, NULL));
      g_assert_cmpint (g_utf8_strlen (printed, -1), <=, WP_INSIGHTS_MAX_ARGS);
      g_assert_cmpint (g_utf8_strlen (printed, -1), >, 8);
      if (i < 2)
        g_assert_true (g_str_has_suffix (printed, "…"));
      if (i == 3)
        g_assert_cmpstr (printed, ==, "a value of type “ay” and 5000001 bytes");
      if (i == 4)
        g_assert_cmpstr (printed, ==, "[1, 2, 3]");
    }
}

static void
test_table (void)
{
  g_autoptr (WpInsights) insights = wp_insights_new (3);
  g_autoptr (GVariant) report = NULL;
  g_autofree char *table = NULL;
  const WpInsightsTask task = { .started = 5 * S, .elapsed = 40 * 1000, .waited = 3000000 };
  const WpInsightsTask other = { .started = 6 * S, .elapsed = 2 * S, .waited = 3000000 };
  guint64 index;

  wp_insights_launched (insights, 1, 1 * S);
  wp_insights_ready (insights, 1, 2 * S);
  wp_insights_add_task (insights, 1, &task);
  wp_insights_add_task (insights, 1, &other);
  g_assert_true (wp_insights_wants_args (insights, &index));
  wp_insights_set_args (insights, g_strdup ("'one'"));
  g_assert_true (wp_insights_wants_args (insights, &index));
  wp_insights_set_args (insights, g_strdup ("'other'"));
  wp_insights_ended (insights, 1, 11 * S);

  report = wp_insights_get (insights, 100 * S, NULL);
  table = wp_insights_format (report);
  g_assert_cmpstr (table, ==,
                   "worker        tasks    start-up        init     waiting     working        exit       total\n"
                   "     1            2     1.000 s     0.000 s     7.000 s     2.000 s     0.000 s    10.000 s\n"
                   "   all            2     1.000 s     0.000 s     7.000 s     2.000 s     0.000 s    10.000 s\n"
                   "  mean                  1.000 s     0.000 s     7.000 s     2.000 s     0.000 s\n"
                   "   std                  0.000 s     0.000 s     0.000 s     0.000 s     0.000 s\n"
                   " ratio                   10.0 %       0.0 %      70.0 %      20.0 %       0.0 %\n"
                   "Waiting time of tasks: p50 2.982 ms, p95 2.982 ms, p99 2.982 ms\n"
                   "Run time of tasks: p50 40.448 µs, p95 1.996 s, p99 1.996 s\n"
                   "Longest tasks:\n"
                   "  2.000 s  'one'\n"
                   "  40.000 µs  'other'\n");
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/insights/percentiles/within-their-error", test_percentiles },
    { "/insights/percentiles/of-any-time", test_any_time },
    { "/insights/life/is-divided", test_one_life },
    { "/insights/life/of-a-replaced-worker", test_replaced },
    { "/insights/life/statistics", test_statistics },
    { "/insights/life/always-adds-up", test_add_up },
    { "/insights/tasks/longest", test_longest },
    { "/insights/tasks/times", test_task_times },
    { "/insights/tasks/arguments-are-cut", test_args },
    { "/insights/table", test_table },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
