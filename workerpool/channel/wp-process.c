/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-process.h"

#include <pthread.h>
#include <string.h>

/* Where the kernel says which program this process runs, even after the program's file was
 * replaced. */
#define SELF "/proc/self/exe"

/* The library's global locks: of the process, the registry, the modules and the pools. */
#define MAX_FORK_LOCKS 4

static GMutex process_lock;
static gboolean environment_read;
static gboolean requested;
static gboolean taken;
static char *channel_value;
static int owner;

static gboolean daemonic; /* atomic */
static gboolean is_host;  /* atomic */
static gboolean had_pool; /* atomic */
static guint depth;       /* atomic */
static guint generation;  /* atomic */

static WpWorkerEntry worker_entry;
static WpPoolsEnder pools_ender; /* atomic */

/* What a worker that is a thread knows of itself. */
typedef struct
{
  gboolean daemonic;
  gboolean had_pool;
  guint depth;
  gconstpointer pool;
} ThreadRole;

static GPrivate thread_role = G_PRIVATE_INIT (g_free);

static ThreadRole *
ensure_thread_role (void)
{
  ThreadRole *role = g_private_get (&thread_role);

  if (role == NULL)
    {
      role = g_new0 (ThreadRole, 1);
      g_private_set (&thread_role, role);
    }

  return role;
}

/* Filled while the library is loaded. */
static GMutex *fork_locks[MAX_FORK_LOCKS];
static guint n_fork_locks;

void
wp_process_protect_lock (GMutex *lock)
{
  g_assert (n_fork_locks < MAX_FORK_LOCKS);

  fork_locks[n_fork_locks++] = lock;
}

static void
before_fork (void)
{
  for (guint i = 0; i < n_fork_locks; i++)
    g_mutex_lock (fork_locks[i]);
}

static void
after_fork_in_parent (void)
{
  for (guint i = n_fork_locks; i > 0; i--)
    g_mutex_unlock (fork_locks[i - 1]);
}

static void
after_fork_in_child (void)
{
  after_fork_in_parent ();
  g_atomic_int_inc (&generation);
  /* They are the other process's. */
  g_atomic_int_set (&had_pool, FALSE);
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  wp_process_protect_lock (&process_lock);
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Reads and removes the variables. They are meant for this process alone: its children must not
 * believe that they are workers too. */
static void
read_environment (void)
{
  const char *value;

  if (environment_read)
    return;
  environment_read = TRUE;

  value = g_getenv (WP_CHANNEL_VARIABLE);
  if (value != NULL)
    {
      channel_value = g_strdup (value);
      requested = TRUE;
      g_unsetenv (WP_CHANNEL_VARIABLE);
    }

  value = g_getenv (WP_OWNER_VARIABLE);
  if (value != NULL)
    {
      guint64 pid;

      if (g_ascii_string_to_unsigned (value, 10, 1, G_MAXINT, &pid, NULL))
        owner = (int) pid;
      g_unsetenv (WP_OWNER_VARIABLE);
    }
}

gboolean
wp_process_is_requested (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  return requested;
}

char *
wp_process_take_channel (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  taken = TRUE;
  return g_steal_pointer (&channel_value);
}

gboolean
wp_process_is_server_requested (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  return channel_value != NULL && g_str_has_prefix (channel_value, WP_FORKSERVER_ROLE ":");
}

int
wp_process_get_owner (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  return owner;
}

gboolean
wp_process_ignored_request (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  return requested && !taken;
}

void
wp_process_set_daemonic (gboolean is_daemonic)
{
  g_atomic_int_set (&daemonic, is_daemonic);
}

void
wp_process_set_thread_daemonic (gboolean is_daemonic)
{
  ensure_thread_role ()->daemonic = is_daemonic;
}

gboolean
wp_process_is_daemonic (void)
{
  const ThreadRole *role = g_private_get (&thread_role);

  return g_atomic_int_get (&daemonic) || (role != NULL && role->daemonic);
}

void
wp_process_set_is_host (void)
{
  g_atomic_int_set (&is_host, TRUE);
}

gboolean
wp_process_is_host (void)
{
  return g_atomic_int_get (&is_host);
}

void
wp_process_set_entry (WpWorkerEntry entry)
{
  worker_entry = entry;
}

int
wp_process_enter_worker (const WpWorkerRequest *request)
{
  return worker_entry (request);
}

guint
wp_process_get_generation (void)
{
  return (guint) g_atomic_int_get (&generation);
}

gboolean
wp_process_is_copy (void)
{
  return wp_process_get_generation () > 0;
}

void
wp_process_set_pools_ender (WpPoolsEnder ender)
{
  g_atomic_pointer_set (&pools_ender, ender);
}

void
wp_process_end_pools (void)
{
  WpPoolsEnder ender = (WpPoolsEnder) g_atomic_pointer_get (&pools_ender);

  if (ender != NULL)
    ender ();
}

void
wp_process_note_pool (void)
{
  g_atomic_int_set (&had_pool, TRUE);
  ensure_thread_role ()->had_pool = TRUE;
}

gboolean
wp_process_had_pool (gboolean this_thread)
{
  const ThreadRole *role = g_private_get (&thread_role);

  if (this_thread)
    return role != NULL && role->had_pool;

  return g_atomic_int_get (&had_pool);
}

void
wp_process_set_depth (guint new_depth, gboolean this_thread)
{
  if (this_thread)
    ensure_thread_role ()->depth = new_depth;
  else
    g_atomic_int_set (&depth, new_depth);
}

guint
wp_process_get_depth (void)
{
  const ThreadRole *role = g_private_get (&thread_role);

  return role != NULL && role->depth > 0 ? role->depth : (guint) g_atomic_int_get (&depth);
}

gboolean
wp_process_is_worker_thread (void)
{
  const ThreadRole *role = g_private_get (&thread_role);

  return role != NULL && role->depth > 0;
}

void
wp_process_set_thread_pool (gconstpointer pool)
{
  ensure_thread_role ()->pool = pool;
}

gconstpointer
wp_process_get_thread_pool (void)
{
  const ThreadRole *role = g_private_get (&thread_role);

  return role != NULL ? role->pool : NULL;
}

/* The path where this program can still be started: the link itself when the file is gone, which
 * works as long as this process lives. */
static char *
find_program (GError **error)
{
  char *path = g_file_read_link (SELF, error);

  if (path != NULL && g_str_has_suffix (path, " (deleted)") &&
      !g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_free (path);
      path = g_strdup (SELF);
    }
  return path;
}

char **
wp_process_get_argv (GError **error)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *arguments = NULL;
  char *program;
  gsize length;

  program = find_program (error);
  if (program == NULL)
    {
      g_prefix_error (error, "Could not find out which program this process runs: ");
      return NULL;
    }
  g_ptr_array_add (argv, program);

  if (!g_file_get_contents ("/proc/self/cmdline", &arguments, &length, error))
    {
      g_prefix_error (error, "Could not read the arguments of this process: ");
      return NULL;
    }

  /* NUL-terminated strings; the first is the name the program was started by. */
  for (const char *argument = arguments; argument < arguments + length;
       argument += strlen (argument) + 1)
    if (argument != arguments)
      g_ptr_array_add (argv, g_strdup (argument));

  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_steal (argv, NULL);
}
