/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What ThreadSanitizer must know of GLib. It sees what is compiled with it, and the system's own locks. GLib's mutexes
 * and conditions are futexes, and its main contexts hand over by means of their own, so that everything they guard
 * would be taken for a race.
 *
 * A test program that has this file defines some of GLib's functions itself, and is the first place where the dynamic
 * linker looks: its own calls, the library's and those of GObject and GIO come here, go on to GLib, and tell what they
 * mean for the order of things. No access of our own code is exempted. What stays unseen is what GLib itself reads and
 * writes: the inside of a GArray or a GVariant, and of its own locks and contexts. */

#include <gio/gio.h>

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>
#include <unistd.h>

/* What this file declares for itself, with -Wmissing-prototypes. */
const char *__tsan_default_options (void);

/* The function of that name in GLib. */
#define REAL(name) ((__typeof__ (&(name))) find_real (#name, &real_##name))
#define DECLARE_REAL(name) static gpointer real_##name

static gpointer
find_real (const char *name, gpointer *found)
{
  gpointer real = __atomic_load_n (found, __ATOMIC_RELAXED);

  if (real == NULL)
    {
      real = dlsym (RTLD_NEXT, name);
      __atomic_store_n (found, real, __ATOMIC_RELAXED);
    }

  return real;
}

/* What GLib does by calls of the C library, such as memcpy (), is not held against us either: it is under locks that
 * are not seen. Workers start a thread in a process that was forked from one with many. */
const char *
__tsan_default_options (void)
{
  return "ignore_noninstrumented_modules=1:die_after_fork=0:second_deadlock_stack=1";
}

/* Our own frees count: to free is to write. */
void
g_free (gpointer memory)
{
  free (memory);
}

/* Mutexes and conditions */

DECLARE_REAL (g_mutex_lock);
DECLARE_REAL (g_mutex_trylock);
DECLARE_REAL (g_mutex_unlock);
DECLARE_REAL (g_mutex_clear);
DECLARE_REAL (g_cond_wait);
DECLARE_REAL (g_cond_wait_until);

static void
before_lock (GMutex *mutex)
{
  __tsan_mutex_pre_lock (mutex, __tsan_mutex_not_static);
}

static void
after_lock (GMutex *mutex)
{
  __tsan_mutex_post_lock (mutex, __tsan_mutex_not_static, 0);
}

static void
before_unlock (GMutex *mutex)
{
  __tsan_mutex_pre_unlock (mutex, 0);
}

static void
after_unlock (GMutex *mutex)
{
  __tsan_mutex_post_unlock (mutex, 0);
}

void
g_mutex_lock (GMutex *mutex)
{
  before_lock (mutex);
  REAL (g_mutex_lock) (mutex);
  after_lock (mutex);
}

gboolean
g_mutex_trylock (GMutex *mutex)
{
  gboolean locked;

  __tsan_mutex_pre_lock (mutex, __tsan_mutex_not_static | __tsan_mutex_try_lock);
  locked = REAL (g_mutex_trylock) (mutex);
  __tsan_mutex_post_lock (mutex,
                          __tsan_mutex_not_static |
                              (locked ? __tsan_mutex_try_lock : __tsan_mutex_try_lock_failed), 0);
  return locked;
}

void
g_mutex_unlock (GMutex *mutex)
{
  before_unlock (mutex);
  REAL (g_mutex_unlock) (mutex);
  after_unlock (mutex);
}

void
g_mutex_clear (GMutex *mutex)
{
  __tsan_mutex_destroy (mutex, 0);
  REAL (g_mutex_clear) (mutex);
}

void
g_cond_wait (GCond *condition, GMutex *mutex)
{
  before_unlock (mutex);
  after_unlock (mutex);
  REAL (g_cond_wait) (condition, mutex);
  before_lock (mutex);
  after_lock (mutex);
}

gboolean
g_cond_wait_until (GCond *condition, GMutex *mutex, gint64 end_time)
{
  gboolean signalled;

  before_unlock (mutex);
  after_unlock (mutex);
  signalled = REAL (g_cond_wait_until) (condition, mutex, end_time);
  before_lock (mutex);
  after_lock (mutex);

  return signalled;
}

/* What is made once */

DECLARE_REAL (g_once_init_enter);
DECLARE_REAL (g_once_init_leave);

gboolean
(g_once_init_enter) (volatile void *location)
{
  gboolean first = REAL (g_once_init_enter) (location);

  if (!first)
    __tsan_acquire ((gpointer) location);
  return first;
}

void
(g_once_init_leave) (volatile void *location, gsize result)
{
  __tsan_release ((gpointer) location);
  REAL (g_once_init_leave) (location, result);
}

/* What a class's init sets, its properties and signals above all, is there for whoever makes an object. */

static void
init_class (gpointer klass, gpointer init)
{
  ((GClassInitFunc) init) (klass, NULL);
  __tsan_release (klass);
}

GType
g_type_register_static_simple (GType             parent,
                               const char       *name,
                               guint             class_size,
                               GClassInitFunc    class_init,
                               guint             instance_size,
                               GInstanceInitFunc instance_init,
                               GTypeFlags        flags)
{
  const GTypeInfo info = {
    .class_size = (guint16) class_size,
    .class_init = class_init != NULL ? init_class : NULL,
    .class_data = class_init,
    .instance_size = (guint16) instance_size,
    .instance_init = instance_init,
  };

  return g_type_register_static (parent, name, &info, flags);
}

gpointer
g_object_new (GType type, const char *first_property, ...)
{
  gpointer klass = g_type_class_ref (type);
  gpointer object;
  va_list arguments;

  __tsan_acquire (klass);
  va_start (arguments, first_property);
  object = g_object_new_valist (type, first_property, arguments);
  va_end (arguments);
  g_type_class_unref (klass);

  return object;
}

/* References: whoever lets go of the last one comes after all who have let go before. */

DECLARE_REAL (g_object_unref);
DECLARE_REAL (g_source_unref);
DECLARE_REAL (g_main_context_unref);
DECLARE_REAL (g_variant_unref);
DECLARE_REAL (g_bytes_unref);
DECLARE_REAL (g_atomic_rc_box_release_full);

static void
before_unref (gpointer object)
{
  __tsan_release (object);
  __tsan_acquire (object);
}

/* As GObject does it where the object stays; the tests have no toggle references. Its last unref runs the object's own
 * code before it frees. */
void
g_object_unref (gpointer object)
{
  volatile guint *ref_count = &((GObject *) object)->ref_count;
  guint n = __atomic_load_n (ref_count, __ATOMIC_ACQUIRE);

  __tsan_release (object);
  while (n > 1)
    if (__atomic_compare_exchange_n (ref_count, &n, n - 1, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      return;

  __tsan_acquire (object);
  REAL (g_object_unref) (object);
}

gboolean
(g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  return __atomic_sub_fetch (count, 1, __ATOMIC_ACQ_REL) == 0;
}

static __thread GDestroyNotify clear_function;

static void
clear_box (gpointer box)
{
  __tsan_acquire (box);
  clear_function (box);
}

void
g_atomic_rc_box_release_full (gpointer box, GDestroyNotify clear)
{
  GDestroyNotify outer = clear_function;

  __tsan_release (box);
  clear_function = clear;
  REAL (g_atomic_rc_box_release_full) (box, clear_box);
  clear_function = outer;
}

void
g_source_unref (GSource *source)
{
  before_unref (source);
  REAL (g_source_unref) (source);
}

void
g_main_context_unref (GMainContext *context)
{
  before_unref (context);
  REAL (g_main_context_unref) (context);
}

void
g_variant_unref (GVariant *value)
{
  before_unref (value);
  REAL (g_variant_unref) (value);
}

void
g_bytes_unref (GBytes *bytes)
{
  if (bytes != NULL)
    before_unref (bytes);
  REAL (g_bytes_unref) (bytes);
}

/* Main contexts: what was done before a source was attached comes before its dispatch. */

DECLARE_REAL (g_source_new);
DECLARE_REAL (g_source_attach);

/* A source's functions as the program sees them, before those that it was made with. */
typedef struct _SourceFuncs SourceFuncs;

struct _SourceFuncs
{
  GSourceFuncs funcs;
  GSourceFuncs *original;
  SourceFuncs *next;
};

/* Only grows. A lock would put all threads that make sources in an order that they do not have. */
static SourceFuncs *all_source_funcs; /* atomic */

static gboolean
dispatch (GSource *source, GSourceFunc callback, gpointer data)
{
  gboolean goes_on;

  __tsan_acquire (source);
  goes_on = ((SourceFuncs *) source->source_funcs)->original->dispatch (source, callback, data);
  /* Whoever attached it may let go of it last. */
  __tsan_release (source);

  return goes_on;
}

static void
finalize (GSource *source)
{
  __tsan_acquire (source);
  ((SourceFuncs *) source->source_funcs)->original->finalize (source);
}

static SourceFuncs *
find_source_funcs (SourceFuncs *first, GSourceFuncs *original)
{
  for (SourceFuncs *found = first; found != NULL; found = found->next)
    if (found->original == original)
      return found;

  return NULL;
}

static SourceFuncs *
get_source_funcs (GSourceFuncs *original)
{
  SourceFuncs *first = __atomic_load_n (&all_source_funcs, __ATOMIC_ACQUIRE);
  SourceFuncs *self = find_source_funcs (first, original);

  if (self != NULL)
    return self;

  self = g_new (SourceFuncs, 1);
  self->funcs = *original;
  self->funcs.dispatch = dispatch;
  self->funcs.finalize = original->finalize != NULL ? finalize : NULL;
  self->original = original;
  /* Two threads may add the same at once, which does no harm. */
  self->next = first;
  while (!__atomic_compare_exchange_n (&all_source_funcs, &self->next, self, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    ;

  return self;
}

GSource *
g_source_new (GSourceFuncs *funcs, guint size)
{
  return REAL (g_source_new) (&get_source_funcs (funcs)->funcs, size);
}

guint
g_source_attach (GSource *source, GMainContext *context)
{
  __tsan_release (source);
  return REAL (g_source_attach) (source, context);
}

/* GLib makes its own kinds of sources by itself. */

static gboolean (*dispatch_idle) (GSource *, GSourceFunc, gpointer);
static gboolean (*dispatch_timeout) (GSource *, GSourceFunc, gpointer);
static gboolean (*dispatch_child_watch) (GSource *, GSourceFunc, gpointer);

static gboolean
dispatch_idle_after_attach (GSource *source, GSourceFunc callback, gpointer data)
{
  __tsan_acquire (source);
  return dispatch_idle (source, callback, data);
}

static gboolean
dispatch_timeout_after_attach (GSource *source, GSourceFunc callback, gpointer data)
{
  __tsan_acquire (source);
  return dispatch_timeout (source, callback, data);
}

static gboolean
dispatch_child_watch_after_attach (GSource *source, GSourceFunc callback, gpointer data)
{
  __tsan_acquire (source);
  return dispatch_child_watch (source, callback, data);
}

static void
wrap_own_sources (void)
{
  dispatch_idle = g_idle_funcs.dispatch;
  g_idle_funcs.dispatch = dispatch_idle_after_attach;
  dispatch_timeout = g_timeout_funcs.dispatch;
  g_timeout_funcs.dispatch = dispatch_timeout_after_attach;
  dispatch_child_watch = g_child_watch_funcs.dispatch;
  g_child_watch_funcs.dispatch = dispatch_child_watch_after_attach;
}

/* GLib's slices go from one thread to another unseen; it reads this before any of our code runs. */
static void
ensure_no_slices (char **argv)
{
  g_autofree char *program = NULL;

  if (g_strcmp0 (g_getenv ("G_SLICE"), "always-malloc") == 0)
    return;

  g_setenv ("G_SLICE", "always-malloc", TRUE);
  program = g_file_read_link ("/proc/self/exe", NULL);
  execv (program, argv);
  g_error ("Cannot start again with G_SLICE=always-malloc");
}

/* The GNU C library gives a constructor what it gives main (). */
__attribute__ ((constructor)) static void
prepare (int argc, char **argv)
{
  ensure_no_slices (argv);
  wrap_own_sources ();
}
