/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-inherited-locks.h"

#include <signal.h>
#include <unistd.h>

#include <gio/gio.h>

#include "channel/wp-process.h"

/* The trial takes less than a millisecond; this is for a machine that has other things to do. */
#define PATIENCE_S 3

/* Sizes that hardly anything else has, so that neither this thread nor the process has a piece of it in hand, and both
 * locks of the allocator are taken. Another one for each generation: the last copy's original may have tried, too. */
#define RARE_SIZE 720
#define SIZE_STEP 16
#define N_SIZES 16

void
wp_inherited_locks_begin_trial (void)
{
  sigset_t alarms;

  sigemptyset (&alarms);
  sigaddset (&alarms, SIGALRM);
  signal (SIGALRM, SIG_DFL);
  pthread_sigmask (SIG_UNBLOCK, &alarms, NULL);
  alarm (PATIENCE_S);
}

static void
try_slices (void)
{
  const gsize size = RARE_SIZE + SIZE_STEP * (wp_process_get_generation () % N_SIZES);

  g_slice_free1 (size, g_slice_alloc (size));
}

/* The lock of notifications, which is taken when the last reference goes and hardly ever before, and those of weak
 * references, of properties and of cancellables. */
static void
try_objects (void)
{
  GCancellable *cancellable = g_cancellable_new ();
  GWeakRef weak_ref;

  g_weak_ref_init (&weak_ref, cancellable);
  g_weak_ref_clear (&weak_ref);
  g_object_class_find_property (G_OBJECT_GET_CLASS (cancellable), "notify");
  g_cancellable_cancel (cancellable);
  g_object_unref (cancellable);
}

void
wp_inherited_locks_end_trial (void)
{
  /* Before GLib 2.76, which has no allocator of its own any more, this is the one that is met: about one copy in some
   * thousands, beside a thread that only uses pools. */
  try_slices ();
  g_variant_unref (g_variant_ref_sink (g_variant_new ("(ut)", 0, G_GUINT64_CONSTANT (0))));
  try_objects ();
  g_signal_lookup ("notify", G_TYPE_OBJECT);
  g_quark_try_string ("notify");
  g_main_context_unref (g_main_context_new ());

  alarm (0);
}
