/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>

G_BEGIN_DECLS

/* Names the start method of the pools that a test makes, for which it says nothing else. */
#define START_METHOD_VARIABLE "WP_TEST_START_METHOD"

/* As wp_worker_pool_new (), with that start method. */
WpWorkerPool  *make_pool     (guint n_jobs);
WpStartMethod  get_start_method (void);
WpWorkerPool  *make_pool_by  (WpStartMethod method, guint n_jobs);
/* Of workers that run this program, and talk by their standard streams. */
WpWorkerPool  *make_pool_over_pipes (guint n_jobs);

/* The start methods of this build, spawn first. */
guint          list_start_methods (WpStartMethod methods[4]);
/* As on the command line and in the environment. */
const char    *get_method_name   (WpStartMethod method);
WpStartMethod  get_method_by_name (const char *name);

/* Calls that a test expects to succeed. */

WpTaskOptions *make_options  (guint chunk_size, guint max_retries, WpOnError on_error);
/* Of workers that run this program. */
WpLauncher    *make_launcher (WpTransport transport);
/* at: 0, 1 … n - 1. (floating) */
GVariant      *make_indices  (guint64 n);

void           join_pool     (WpWorkerPool *pool);
GVariant      *apply         (WpWorkerPool *pool, const char *function, GVariant *args);
/* The process that ran a task. */
int            apply_pid     (WpWorkerPool *pool);
WpBatch       *start_batch   (WpWorkerPool *pool, const char *function, WpTaskOptions *options);
void           push_item     (WpBatch *batch, GVariant *item);
WpResult      *next_result   (WpBatch *batch);
/* The results of a map of make_indices (n) over a function that returns what it got. */
void           assert_indices (GVariant *results, guint64 n);

/* Of the elements of an "ay". */
guint64        sum_bytes     (GVariant *bytes);

/* The error says so, in these words. */
void           assert_message (const GError *error, const char *part);

/* What an asynchronous call came to; its user data. */
typedef struct
{
  GVariant *value;
  GError *error;
  gboolean done;
} Outcome;

void           outcome_clear (Outcome *outcome);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Outcome, outcome_clear)

void           on_applied    (GObject *source, GAsyncResult *result, gpointer outcome);
void           on_mapped     (GObject *source, GAsyncResult *result, gpointer outcome);
void           on_joined     (GObject *source, GAsyncResult *result, gpointer outcome);
void           on_pushed     (GObject *source, GAsyncResult *result, gpointer outcome);

/* Ends the test, and says what hangs, if this takes longer than anything may; NULL: it has ended. */
void           expect_end    (const char *what);

/* Of a GAsyncReadyCallback whose result does not matter: sets the gboolean. */
void           on_done       (GObject *source, GAsyncResult *result, gpointer done);

/* Of a signal without arguments: sets the gboolean. */
void           set_true      (gpointer object, gpointer flag);

/* Iterates the main context as long as something is ready. */
void           iterate_pending (void);

G_END_DECLS
