/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fork servers that say what is not true, or less than they might: a pool believes none of it, and goes on. */

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* The first argument that makes this program such a server; the second says which. */
#define LIAR_HOST "liar-host"
/* Its socket, and the types of messages. */
#define LIAR_FD 3
enum
{
  SETUP,
  FORK,
  SIGNAL,
  READY,
  FAILED,
  STARTED,
  ENDED,
};

/* Counters of this test. */
enum
{
  SIGNALLED,
};

static const struct
{
  const char *lie;
  const char *part;
} lies[] = {
  { "rubbish", "it sent bytes that are no message" },
  { "ready-twice", "it sent twice that it is ready" },
  { "unasked", "it sent the start of a worker that it was not asked for" },
  { "unstarted", "it sent the end of a worker that it had not started" },
  { "owner", "it sent a number that is no worker's process" },
  { "init", "it sent a number that is no worker's process" },
  { "descriptor", "it sent a descriptor that is not its worker's" },
  { "for-itself", "it sent a message that is for itself" },
  { "failed-late", "it sent that it cannot start when it had started" },
};

/* Takes the content, which may be floating; 'fd' is sent along, or -1. */
static void
tell (int type, GVariant *content, int fd)
{
  g_autoptr (GVariant) native = g_variant_ref_sink (g_variant_new ("(yv)", (guint8) type, content));
  g_autoptr (GVariant) wire = G_BYTE_ORDER == G_LITTLE_ENDIAN ? g_variant_ref (native) : g_variant_byteswap (native);
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { .bytes = "" };
  struct iovec vector = { (gpointer) g_variant_get_data (wire), g_variant_get_size (wire) };
  struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1 };

  if (fd >= 0)
    {
      struct cmsghdr *rights;

      header.msg_control = control.bytes;
      header.msg_controllen = sizeof control.bytes;
      rights = CMSG_FIRSTHDR (&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (rights), &fd, sizeof fd);
    }
  if (sendmsg (LIAR_FD, &header, MSG_NOSIGNAL) < 0)
    _exit (1);
}

/* The next message: its type, and the worker that it is about, or 0. */
static int
hear (guint64 *worker)
{
  guint8 packet[4096];
  ssize_t size = recv (LIAR_FD, packet, sizeof packet, 0);
  g_autoptr (GVariant) wire = NULL;
  g_autoptr (GVariant) native = NULL;
  g_autoptr (GVariant) content = NULL;
  guint8 type;

  if (size <= 0)
    _exit (1);

  wire = g_variant_ref_sink (g_variant_new_from_data (G_VARIANT_TYPE ("(yv)"), packet, size, FALSE, NULL, NULL));
  native = G_BYTE_ORDER == G_LITTLE_ENDIAN ? g_variant_ref (wire) : g_variant_byteswap (wire);
  g_variant_get (native, "(yv)", &type, &content);
  *worker = 0;
  if (type != SETUP)
    g_variant_get_child (content, 0, "t", worker);

  return type;
}

/* A server that is out of descriptors has no pidfds. Its workers do nothing, and it is asked to kill them. */
static void
serve_without_descriptors (void)
{
  guint64 asked;
  int pid = 0;

  for (;;)
    switch (hear (&asked))
      {
      case FORK:
        pid = fork ();
        if (pid == 0)
          prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        while (pid == 0)
          pause ();
        tell (STARTED, g_variant_new ("(ti)", asked, pid), -1);
        break;

      case SIGNAL:
        counter_add (SIGNALLED, 1);
        kill (pid, SIGKILL);
        waitpid (pid, NULL, 0);
        tell (ENDED, g_variant_new ("(ti)", asked, SIGKILL), -1);
        break;

      default:
        break;
      }
}

/* The first worker that a launcher asks for is 1. */
static int
act_as_liar (const char *lie)
{
  const guint64 worker = 1, nobody = 1000;
  guint64 asked;

  prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (strcmp (lie, "rubbish") == 0)
    {
      if (write (LIAR_FD, "rubbish", 7) < 0)
        return 1;
    }
  else
    {
      tell (READY, g_variant_new ("()"), -1);
    }

  if (strcmp (lie, "no-descriptors") == 0)
    serve_without_descriptors ();

  while (hear (&asked) != FORK)
    continue;

  if (strcmp (lie, "ready-twice") == 0)
    tell (READY, g_variant_new ("()"), -1);
  else if (strcmp (lie, "unasked") == 0)
    tell (STARTED, g_variant_new ("(ti)", nobody, getpid ()), -1);
  else if (strcmp (lie, "unstarted") == 0)
    tell (ENDED, g_variant_new ("(ti)", worker, 0), -1);
  else if (strcmp (lie, "owner") == 0)
    tell (STARTED, g_variant_new ("(ti)", worker, getppid ()), -1);
  else if (strcmp (lie, "init") == 0)
    tell (STARTED, g_variant_new ("(ti)", worker, 1), -1);
  else if (strcmp (lie, "descriptor") == 0)
    tell (STARTED, g_variant_new ("(ti)", worker, 0x3fffff), STDIN_FILENO);
  else if (strcmp (lie, "for-itself") == 0)
    tell (FORK, g_variant_new ("(t)", worker), -1);
  else if (strcmp (lie, "failed-late") == 0)
    tell (FAILED, g_variant_new ("(tsis)", (guint64) 0, "lie", 0, "a lie"), -1);
  while (pause () < 0)
    continue;

  return 0;
}

static void
assert_start_fails (const char *lie,
                    const char *part)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char *host[] = { program, LIAR_HOST, lie, NULL };
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_start_method (pool, WP_START_METHOD_FORKSERVER);
  wp_worker_pool_set_start_timeout (pool, 500);
  wp_worker_pool_set_host (pool, host);
  value = wp_worker_pool_apply (pool, "pid", NULL, NULL, NULL, &error);
  g_assert_null (value);
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  assert_message (error, part);
  join_pool (pool);
}

static void
test_lies (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    assert_start_fails (lies[i].lie, lies[i].part);
}

static void
test_no_descriptors (void)
{
  /* It has not even taken the channel, so that the pool gives the worker up. */
  assert_start_fails ("no-descriptors", "was killed by signal 9");
  g_assert_cmpuint (counter_get (SIGNALLED), >=, 1);
}

static const FaultTest tests[] = {
  { "/lying-server/is-ended", test_lies },
  { "/lying-server/without-descriptors-is-asked-to-kill", test_no_descriptors },
};

int
main (int argc, char **argv)
{
  int status;

  if (argc > 2 && strcmp (argv[1], LIAR_HOST) == 0)
    {
      scratch_attach ();
      return act_as_liar (argv[2]);
    }
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
