/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-insights.h"

#include <math.h>
#include <string.h>

#include "pool/wp-time-histogram.h"

#define NS_PER_S 1e9

/* A value of more bytes is printed only where that costs little. */
#define MAX_PRINTED_SIZE 4096

typedef enum
{
  PART_START_UP,
  PART_INIT,
  PART_WAITING,
  PART_WORKING,
  PART_EXIT,
  N_PARTS
} Part;

static const char *const part_names[N_PARTS] = { "start_up", "init", "waiting", "working", "exit" };

typedef struct
{
  gint64 parts[N_PARTS];
  gint64 wall;
} Times;

typedef struct
{
  guint64 n_tasks;
  guint n_lives;
  Times past; /* of those that have ended */

  /* The one that lives. */
  gboolean alive;
  gint64 launched;
  gint64 ready; /* 0: not yet, as the others */
  gint64 asked;
  gint64 init;
  gboolean initializing; /* all of its time since it was ready is 'init' */
  gint64 working;
  gint64 busy_until;
} Worker;

typedef struct
{
  gint64 elapsed;
  guint64 index;
  char *args;
  gboolean named; /* its arguments have been asked for */
} LongTask;

struct _WpInsights
{
  guint n_workers;
  Worker *workers;
  LongTask longest[WP_INSIGHTS_N_LONGEST]; /* longest first */
  guint n_longest;
  guint wanted; /* the one that was asked for last */
  gboolean has_unnamed;
  WpTimeHistogram *wait_times;
  WpTimeHistogram *run_times;
};

WpInsights *
wp_insights_new (guint n_workers)
{
  WpInsights *self = g_new0 (WpInsights, 1);

  self->n_workers = n_workers;
  self->workers = g_new0 (Worker, n_workers);
  self->wait_times = wp_time_histogram_new ();
  self->run_times = wp_time_histogram_new ();

  return self;
}

void
wp_insights_free (WpInsights *self)
{
  for (guint i = 0; i < self->n_longest; i++)
    g_free (self->longest[i].args);
  wp_time_histogram_free (self->wait_times);
  wp_time_histogram_free (self->run_times);
  g_free (self->workers);
  g_free (self);
}

static Worker *
get_worker (WpInsights *self, guint worker)
{
  g_assert (worker < self->n_workers);

  return &self->workers[worker];
}

/* Lives */

void
wp_insights_launched (WpInsights *self, guint worker, gint64 now)
{
  Worker *life = get_worker (self, worker);

  life->alive = TRUE;
  life->n_lives++;
  life->launched = now;
  life->ready = 0;
  life->asked = 0;
  life->init = 0;
  life->initializing = FALSE;
  life->working = 0;
  life->busy_until = now;
}

void
wp_insights_ready (WpInsights *self, guint worker, gint64 now)
{
  Worker *life = get_worker (self, worker);

  life->ready = now;
  life->busy_until = now;
}

void
wp_insights_initializing (WpInsights *self, guint worker)
{
  get_worker (self, worker)->initializing = TRUE;
}

void
wp_insights_initialized (WpInsights *self, guint worker, gint64 elapsed)
{
  Worker *life = get_worker (self, worker);

  life->init += MAX (elapsed, 0);
  life->initializing = FALSE;
}

void
wp_insights_asked (WpInsights *self, guint worker, gint64 now)
{
  Worker *life = get_worker (self, worker);

  if (life->asked == 0)
    life->asked = now;
}

/* Divides the life so far. Whatever was told, the parts add up to it. */
static void
divide_life (const Worker *life, gint64 now, gint64 running, Times *times)
{
  gint64 serving_end = now;
  gint64 working = life->working;
  gint64 serving, init;

  times->wall += now - life->launched;
  if (life->ready == 0)
    {
      times->parts[PART_START_UP] += now - life->launched;
      return;
    }

  if (running != 0 && running >= life->busy_until && running < now)
    working += now - running;
  else if (life->asked != 0)
    serving_end = CLAMP (MAX (life->asked, life->busy_until), life->ready, now);

  serving = serving_end - life->ready;
  working = MIN (working, serving);
  init = life->initializing ? serving - working : MIN (life->init, serving - working);
  times->parts[PART_START_UP] += life->ready - life->launched;
  times->parts[PART_INIT] += init;
  times->parts[PART_WAITING] += serving - working - init;
  times->parts[PART_WORKING] += working;
  times->parts[PART_EXIT] += now - serving_end;
}

void
wp_insights_ended (WpInsights *self, guint worker, gint64 now)
{
  Worker *life = get_worker (self, worker);

  if (!life->alive)
    return;

  divide_life (life, now, 0, &life->past);
  life->alive = FALSE;
}

/* Tasks */

/* Room for a task of that length among the longest, or NULL. Of equal ones the first stays. */
static LongTask *
make_place (WpInsights *self, gint64 elapsed)
{
  guint place = self->n_longest;

  while (place > 0 && self->longest[place - 1].elapsed < elapsed)
    place--;
  if (place == WP_INSIGHTS_N_LONGEST)
    return NULL;

  if (self->n_longest == WP_INSIGHTS_N_LONGEST)
    g_free (self->longest[WP_INSIGHTS_N_LONGEST - 1].args);
  else
    self->n_longest++;
  memmove (&self->longest[place + 1], &self->longest[place], (self->n_longest - 1 - place) * sizeof (LongTask));

  return &self->longest[place];
}

static void
keep_if_long (WpInsights *self, const WpInsightsTask *task)
{
  LongTask *place;

  if (self->n_longest == WP_INSIGHTS_N_LONGEST &&
      task->elapsed <= self->longest[WP_INSIGHTS_N_LONGEST - 1].elapsed)
    return;

  place = make_place (self, task->elapsed);
  g_assert (place != NULL);
  *place = (LongTask){ .elapsed = task->elapsed, .index = task->index };
  self->has_unnamed = TRUE;
}

void
wp_insights_add_task (WpInsights *self, guint worker, const WpInsightsTask *task)
{
  Worker *life = get_worker (self, worker);
  const gint64 start = MAX (task->started, life->busy_until);
  const gint64 end = MAX (start, task->started + task->elapsed);

  life->working += end - start;
  life->busy_until = end;
  keep_if_long (self, task);
  if (task->interrupted)
    return;

  life->n_tasks++;
  wp_time_histogram_add (self->run_times, MAX (task->elapsed, 0));
  if (task->waited >= 0)
    wp_time_histogram_add (self->wait_times, task->waited);
}

gboolean
wp_insights_wants_args (WpInsights *self, guint64 *index)
{
  if (!self->has_unnamed)
    return FALSE;

  for (guint i = 0; i < self->n_longest; i++)
    if (!self->longest[i].named)
      {
        self->wanted = i;
        *index = self->longest[i].index;
        return TRUE;
      }

  self->has_unnamed = FALSE;
  return FALSE;
}

void
wp_insights_set_args (WpInsights *self, char *args)
{
  self->longest[self->wanted].args = args;
  self->longest[self->wanted].named = TRUE;
}

/* Of a string that is longer than what is shown of it. */
static char *
print_start (GVariant *string)
{
  const char *text = g_variant_get_string (string, NULL);
  char *start = g_strndup (text, g_utf8_offset_to_pointer (text, WP_INSIGHTS_MAX_ARGS) - text);
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_take_string (start));

  return g_variant_print (value, FALSE);
}

char *
wp_insights_print_args (GVariant *args)
{
  g_autofree char *printed = NULL;
  g_autofree char *cut = NULL;

  if (args == NULL)
    return NULL;

  if (g_variant_get_size (args) <= MAX_PRINTED_SIZE)
    printed = g_variant_print (args, FALSE);
  else if (g_variant_is_of_type (args, G_VARIANT_TYPE_STRING))
    printed = print_start (args);
  else
    printed = g_strdup_printf ("a value of type “%.32s” and %" G_GSIZE_FORMAT " bytes",
                               g_variant_get_type_string (args), g_variant_get_size (args));

  if (g_utf8_strlen (printed, -1) <= WP_INSIGHTS_MAX_ARGS)
    return g_steal_pointer (&printed);

  cut = g_utf8_substring (printed, 0, WP_INSIGHTS_MAX_ARGS - 1);

  return g_strconcat (cut, "…", NULL);
}

/* The report */

static void
insert_double (GVariantBuilder *builder, double value, const char *prefix, const char *suffix)
{
  g_autofree char *key = g_strconcat (prefix, suffix, NULL);

  g_variant_builder_add (builder, "{sv}", key, g_variant_new_double (value));
}

static void
insert_doubles (GVariantBuilder *builder, const double *values, guint n, const char *prefix, const char *suffix)
{
  g_autofree char *key = g_strconcat (prefix, suffix, NULL);

  g_variant_builder_add (builder, "{sv}", key,
                         g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, values, n, sizeof *values));
}

/* One part of all workers' lives. Those that were never launched have no place in the mean. */
static void
insert_part (WpInsights *self, GVariantBuilder *builder, const Times *times, Part part, gint64 total_wall)
{
  g_autofree double *seconds = g_new0 (double, self->n_workers);
  g_autofree char *total_key = g_strconcat ("total_", part_names[part], "_time", NULL);
  double total = 0;
  double squares = 0;
  double mean;
  guint n = 0;

  for (guint i = 0; i < self->n_workers; i++)
    {
      seconds[i] = (double) times[i].parts[part] / NS_PER_S;
      total += seconds[i];
      n += self->workers[i].n_lives > 0;
    }

  mean = n > 0 ? total / n : 0;
  for (guint i = 0; i < self->n_workers; i++)
    if (self->workers[i].n_lives > 0)
      squares += (seconds[i] - mean) * (seconds[i] - mean);

  insert_doubles (builder, seconds, self->n_workers, part_names[part], "_time");
  insert_double (builder, total, total_key, "");
  insert_double (builder, mean, part_names[part], "_time_mean");
  insert_double (builder, n > 0 ? sqrt (squares / n) : 0, part_names[part], "_time_std");
  insert_double (builder, total_wall > 0 ? total * NS_PER_S / (double) total_wall : 0, part_names[part], "_ratio");
}

static void
insert_percentiles (GVariantBuilder *builder, WpTimeHistogram *histogram, const char *name)
{
  insert_double (builder, wp_time_histogram_get_percentile (histogram, 0.50) / NS_PER_S, name, "_p50");
  insert_double (builder, wp_time_histogram_get_percentile (histogram, 0.95) / NS_PER_S, name, "_p95");
  insert_double (builder, wp_time_histogram_get_percentile (histogram, 0.99) / NS_PER_S, name, "_p99");
}

static void
insert_longest (WpInsights *self, GVariantBuilder *builder)
{
  GVariantBuilder durations = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("ad"));
  GVariantBuilder args = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("as"));

  for (guint i = 0; i < self->n_longest; i++)
    {
      g_variant_builder_add (&durations, "d", (double) self->longest[i].elapsed / NS_PER_S);
      g_variant_builder_add (&args, "s", self->longest[i].args != NULL ? self->longest[i].args : "");
    }
  g_variant_builder_add (builder, "{sv}", "top_5_max_task_durations", g_variant_builder_end (&durations));
  g_variant_builder_add (builder, "{sv}", "top_5_max_task_args", g_variant_builder_end (&args));
}

GVariant *
wp_insights_get (WpInsights *self, gint64 now, const gint64 *running)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_autofree Times *times = g_new0 (Times, self->n_workers);
  g_autofree double *walls = g_new0 (double, self->n_workers);
  g_autofree guint64 *n_tasks = g_new0 (guint64, self->n_workers);
  gint64 total_wall = 0;

  for (guint i = 0; i < self->n_workers; i++)
    {
      const Worker *worker = &self->workers[i];

      times[i] = worker->past;
      if (worker->alive)
        divide_life (worker, MAX (now, worker->launched), running != NULL ? running[i] : 0, &times[i]);
      n_tasks[i] = worker->n_tasks;
      walls[i] = (double) times[i].wall / NS_PER_S;
      total_wall += times[i].wall;
    }

  for (Part part = 0; part < N_PARTS; part++)
    insert_part (self, &builder, times, part, total_wall);
  insert_doubles (&builder, walls, self->n_workers, "time", "");
  insert_double (&builder, (double) total_wall / NS_PER_S, "total_time", "");
  g_variant_builder_add (&builder, "{sv}", "n_completed_tasks",
                         g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, n_tasks, self->n_workers, sizeof *n_tasks));
  insert_longest (self, &builder);
  insert_percentiles (&builder, self->wait_times, "wait_time");
  insert_percentiles (&builder, self->run_times, "run_time");

  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
