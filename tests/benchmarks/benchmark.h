/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>

G_BEGIN_DECLS

/* What the benchmark programs have in common. Each of them makes one repetition of its rows and
 * prints a line of JSON for every number; tests/benchmarks/run repeats them and puts the numbers
 * together. */

/* The functions that every benchmark's workers offer. */
#define BENCHMARK_ADD_ONE  "add-one"  /* int32 → int64 */
#define BENCHMARK_SPIN     "spin"     /* int32 → int32: works for so many microseconds */
#define BENCHMARK_TOUCH    "touch"    /* bytes → uint32: reads a byte of every page */
#define BENCHMARK_IDENTITY "identity" /* anything → the same */
#define BENCHMARK_PID      "pid"      /* anything → int32: this worker's process */
#define BENCHMARK_CPU_TIME                                                                         \
  "cpu-time" /* anything → int64: nanoseconds this worker has used a processor */

#define BENCHMARK_OURS "workerpool"

/* measure: makes one repetition; scale: 1, or less with --quick. Returns main ()'s exit status. */
typedef void (*BenchmarkFunc) (double scale);
int benchmark_main (int argc, char *argv[], BenchmarkFunc measure);

/* who: BENCHMARK_OURS or the name of the peer. */
void benchmark_report (const char *row, const char *who, double value, const char *unit);

/* Seconds. */
double benchmark_now (void);
/* Nanoseconds that this process has used a processor. */
gint64 benchmark_cpu_time (void);
/* The work of BENCHMARK_SPIN. */
void benchmark_spin (gint32 microseconds);
/* The work of BENCHMARK_TOUCH. */
guint32 benchmark_touch (GVariant *bytes);

/* A pool with keep-alive whose workers have all reported in, and have run the function. */
WpWorkerPool *benchmark_new_pool (guint n_workers, const char *function, GVariant *args);
/* Ends it, and checks that it ends well. */
void benchmark_end_pool (WpWorkerPool *pool);

/* An array of int32: 0, 1, …, n - 1. */
GVariant *benchmark_new_items (guint n);
/* The results of BENCHMARK_ADD_ONE for these items are right, as far as a sample tells. */
void benchmark_check_sum (GVariant *results, guint n);

G_END_DECLS
