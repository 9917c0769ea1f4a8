/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* round-trip: one apply () of a trivial function on one worker, beside 64 bytes that go to another
 * process and come back over a socketpair; the caller on one processor and the other process on
 * another. round-trip-same: both on the same processor. Left alone, the kernel keeps a pair of
 * processes where chance has put it, and the one is several times as fast as the other. */

#include "benchmark.h"

#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_ROUND_TRIPS 20000
/* They take turns, so that whatever else the machine does meanwhile hits both. */
#define N_TURNS      20
#define MESSAGE_SIZE 64

static void
pass_on (int fd)
{
  guint8 message[MESSAGE_SIZE] = { 0 };

  while (read (fd, message, sizeof message) == MESSAGE_SIZE &&
         write (fd, message, sizeof message) == MESSAGE_SIZE)
    ;
}

/* A process that sends back what it reads; it ends with the socket. */
static int
start_echo (int *pid)
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || (*pid = fork ()) < 0)
    g_error ("The peer cannot be started");

  if (*pid == 0)
    {
      close (fds[0]);
      pass_on (fds[1]);
      _exit (0);
    }
  close (fds[1]);

  return fds[0];
}

static double
measure_raw (int fd, guint n)
{
  guint8 message[MESSAGE_SIZE] = { 0 };
  double start = benchmark_now ();

  for (guint i = 0; i < n; i++)
    if (write (fd, message, sizeof message) != MESSAGE_SIZE ||
        read (fd, message, sizeof message) != MESSAGE_SIZE)
      g_error ("The peer has gone");

  return benchmark_now () - start;
}

static double
measure_apply (WpWorkerPool *pool, guint n)
{
  double start = benchmark_now ();

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = NULL;

      result = wp_worker_pool_apply (pool, BENCHMARK_ADD_ONE, g_variant_new_int32 ((gint32) i),
                                     NULL, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (result), ==, (gint64) i + 1);
    }

  return benchmark_now () - start;
}

static int
get_worker_pid (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) pid = NULL;

  pid = wp_worker_pool_apply (pool, BENCHMARK_PID, g_variant_new_int32 (0), NULL, NULL, &error);
  g_assert_no_error (error);

  return g_variant_get_int32 (pid);
}

/* pid: 0 for the calling thread. */
static void
hold_to (int pid, guint processor)
{
  cpu_set_t processors;

  CPU_ZERO (&processors);
  CPU_SET (processor, &processors);
  if (sched_setaffinity (pid, sizeof processors, &processors) < 0)
    g_error ("A process cannot be held to one processor");
}

/* The n-th processor this process may use; the last when they are fewer. */
static guint
get_processor (guint n)
{
  cpu_set_t processors;
  guint processor = 0;

  sched_getaffinity (0, sizeof processors, &processors);
  for (guint i = 0, found = 0; i < CPU_SETSIZE && found <= n; i++)
    if (CPU_ISSET (i, &processors))
      {
        processor = i;
        found++;
      }

  return processor;
}

static void
measure_in_turn (const char *row, WpWorkerPool *pool, int echo, guint n)
{
  double ours = 0, raw = 0;

  for (guint i = 0; i < N_TURNS; i++)
    {
      ours += measure_apply (pool, n);
      raw += measure_raw (echo, n);
    }

  benchmark_report (row, BENCHMARK_OURS, ours / (N_TURNS * n) * 1e6, "µs");
  benchmark_report (row, "raw socketpair", raw / (N_TURNS * n) * 1e6, "µs");
}

static void
measure (double scale)
{
  const guint n = (guint) (N_ROUND_TRIPS * scale) / N_TURNS;
  const guint here = get_processor (0), there = get_processor (1);
  int echo_pid;
  int echo = start_echo (&echo_pid);
  WpWorkerPool *pool = benchmark_new_pool (1, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));
  int worker_pid = get_worker_pid (pool);

  hold_to (0, here);
  hold_to (echo_pid, there);
  hold_to (worker_pid, there);
  measure_in_turn ("round-trip", pool, echo, n);

  hold_to (echo_pid, here);
  hold_to (worker_pid, here);
  measure_in_turn ("round-trip-same", pool, echo, n);

  benchmark_end_pool (pool);
  close (echo);
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
