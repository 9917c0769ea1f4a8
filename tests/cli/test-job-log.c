/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "wp-cli-job-log.h"

#define DIGEST "0123456789abcdef"

/* Lines */

static char *
format (const WpCliJobLine *line)
{
  GString *text = g_string_new (NULL);

  wp_cli_job_line_format (line, text);
  return g_string_free (text, FALSE);
}

static void
test_success (void)
{
  const WpCliJobLine line = {
    .index = 12,
    .worker = 3,
    .start = G_GINT64_CONSTANT (1700000000007999),
    .run_time = 1000042,
    .n_retries = 1,
    .digest = G_GUINT64_CONSTANT (0x0123456789abcdef),
    .item = "an item",
  };
  g_autofree char *text = format (&line);

  g_assert_cmpstr (text, ==, "12\t3\t1700000000.007\t1.000042\tok\t1\t" DIGEST "\tan item\n");
}

static void
test_failure (void)
{
  g_autoptr (GError) error = g_error_new (g_quark_from_static_string ("a\tdomain\\"), -5, "message");
  const WpCliJobLine line = { .worker = -1, .start = -1, .error = error, .digest = 1, .item = "" };
  g_autofree char *text = format (&line);

  g_assert_cmpstr (text, ==, "0\t-\t-\t-\ta\\x09domain\\x5c:-5\t0\t0000000000000001\t\n");
}

/* The digest */

static guint64
digest (const char *function, GVariant *item)
{
  g_autoptr (WpCliJobDigest) job_digest = wp_cli_job_digest_new (function);
  g_autoptr (GVariant) owned = g_variant_ref_sink (item);
  const guint64 first = wp_cli_job_digest_get (job_digest, owned);

  g_assert_cmpuint (wp_cli_job_digest_get (job_digest, owned), ==, first);
  return first;
}

static void
test_digest (void)
{
  const guint64 one = digest ("f", g_variant_new_string ("item"));

  /* printf 'f\0item' | sha256sum */
  g_assert_cmphex (one, ==, G_GUINT64_CONSTANT (0x323239d7fc19f11a));
  g_assert_cmphex (one, !=, digest ("g", g_variant_new_string ("item")));
  g_assert_cmphex (one, !=, digest ("f", g_variant_new_string ("items")));
  g_assert_cmphex (one, !=, digest ("fi", g_variant_new_string ("tem")));
  g_assert_cmphex (digest ("f", g_variant_new_bytestring ("\xff")), !=,
                   digest ("f", g_variant_new_bytestring ("\xfe")));
}

/* Logs */

/* Read in pieces of n bytes. */
static WpCliJobLog *
read_log (const char *text, gsize length, gsize n, GError **error)
{
  g_autoptr (WpCliJobLog) log = wp_cli_job_log_new ();

  for (gsize i = 0; i < length; i += n)
    if (!wp_cli_job_log_read (log, text + i, MIN (n, length - i), error))
      return NULL;

  return wp_cli_job_log_end (log, error) ? g_steal_pointer (&log) : NULL;
}

static void
assert_record (WpCliJobLog *log, guint64 index, guint64 expected_digest, gboolean failed)
{
  const WpCliJobRecord *record = wp_cli_job_log_find (log, index);

  g_assert_nonnull (record);
  g_assert_cmpuint (record->index, ==, index);
  g_assert_cmphex (record->digest, ==, expected_digest);
  g_assert_cmpint (record->failed, ==, failed);
}

static void
test_read (void)
{
  static const char text[] = WP_CLI_JOB_LOG_HEADER
      "7\t0\t1700000000.123\t0.000001\tok\t0\t0000000000000007\tseven\n"
      "2\t-\t-\t-\twp-error-quark:1\t0\t0000000000000002\t\n"
      "5\t1\t1700000000.123\t0.000001\tok:5\t2\t0000000000000005\tfive\n"
      "2\t0\t1700000000.123\t0.000001\tok\t0\t0000000000000022\ttwo\n";

  for (gsize n = 1; n < sizeof text; n++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (WpCliJobLog) log = read_log (text, strlen (text), n, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (wp_cli_job_log_get_n_ended (log), ==, 3);
      g_assert_cmpuint (wp_cli_job_log_get_n_failed (log), ==, 1);
      g_assert_cmpuint (wp_cli_job_log_get_end (log), ==, 8);
      g_assert_cmpuint (wp_cli_job_log_get_size (log), ==, strlen (text));
      assert_record (log, 2, 0x22, FALSE);
      assert_record (log, 5, 5, TRUE);
      assert_record (log, 7, 7, FALSE);
      g_assert_null (wp_cli_job_log_find (log, 0));
      g_assert_null (wp_cli_job_log_find (log, 6));
      g_assert_null (wp_cli_job_log_find (log, 8));
    }
}

static void
test_written_is_read (void)
{
  g_autoptr (GString) text = g_string_new (WP_CLI_JOB_LOG_HEADER);
  g_autoptr (GError) failure = g_error_new (g_quark_from_static_string ("a b\n:"), G_MININT, "message");
  g_autoptr (WpCliJobLog) log = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 1000; i++)
    {
      const WpCliJobLine line = {
        .index = i * 7 % 1000,
        .worker = i % 5 - 1,
        .start = i % 3 > 0 ? g_get_real_time () : -1,
        .run_time = i,
        .error = i % 2 > 0 ? failure : NULL,
        .digest = G_MAXUINT64 - i,
        .item = "item",
      };

      wp_cli_job_line_format (&line, text);
    }

  log = read_log (text->str, text->len, 1000, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (wp_cli_job_log_get_n_ended (log), ==, 1000);
  for (guint i = 0; i < 1000; i++)
    assert_record (log, i * 7 % 1000, G_MAXUINT64 - i, i % 2 > 0);
}

/* Whatever is left of a log is one, up to its last whole line. */
static void
test_cut (void)
{
  static const char text[] = WP_CLI_JOB_LOG_HEADER
      "0\t0\t1700000000.123\t0.000001\tok\t0\t" DIGEST "\tzero\n"
      "1\t0\t1700000000.123\t0.000001\tok\t0\t" DIGEST "\tone\n";

  for (gsize length = 0; length <= strlen (text); length++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (WpCliJobLog) log = read_log (text, length, 10, &error);
      gsize size = length;

      while (size > 0 && text[size - 1] != '\n')
        size--;
      g_assert_no_error (error);
      g_assert_cmpuint (wp_cli_job_log_get_size (log), ==, size);
    }
}

static void
assert_rubbish (const char *text, gsize length, const char *says)
{
  for (gsize n = 1; n <= length; n += 1 + n / 2)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (read_log (text, length, n, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
      if (strstr (error->message, says) == NULL)
        g_error ("“%s” does not say “%s”", error->message, says);
    }
}

static void
test_rubbish (void)
{
  static const char *const lines[] = {
    "",
    "rubbish",
    "\t\t\t\t\t\t\t",
    "0\t0\t1.5\t1.5\tok\t0\t" DIGEST,
    "0\t0\t1.5\t1.5\tok\t0\t" DIGEST "\titem\tmore",
    "-1\t0\t1.5\t1.5\tok\t0\t" DIGEST "\titem",
    "18446744073709551615\t0\t1.5\t1.5\tok\t0\t" DIGEST "\titem",
    "18446744073709551616\t0\t1.5\t1.5\tok\t0\t" DIGEST "\titem",
    "0\tx\t1.5\t1.5\tok\t0\t" DIGEST "\titem",
    "0\t0\t1\t1.5\tok\t0\t" DIGEST "\titem",
    "0\t0\t1.5\t1.\tok\t0\t" DIGEST "\titem",
    "0\t0\t1.5\t1.5\tfine\t0\t" DIGEST "\titem",
    "0\t0\t1.5\t1.5\t:1\t0\t" DIGEST "\titem",
    "0\t0\t1.5\t1.5\tdomain:\t0\t" DIGEST "\titem",
    "0\t0\t1.5\t1.5\tdomain:2147483648\t0\t" DIGEST "\titem",
    "0\t0\t1.5\t1.5\tok\t\t" DIGEST "\titem",
    "0\t0\t1.5\t1.5\tok\t0\t0123456789abcde\titem",
    "0\t0\t1.5\t1.5\tok\t0\t0123456789abcdefg\titem",
    "0\t0\t1.5\t1.5\tok\t0\t0123456789abcdeg\titem",
  };

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autofree char *text = g_strconcat (WP_CLI_JOB_LOG_HEADER "0\t0\t1.5\t1.5\tok\t0\t" DIGEST "\titem\n", lines[i],
                                           "\n1\t0\t1.5\t1.5\tok\t0\t" DIGEST "\titem\n", NULL);

      assert_rubbish (text, strlen (text), "line 3");
    }
}

static void
test_nul (void)
{
  static const char text[] = WP_CLI_JOB_LOG_HEADER "0\t0\t1.5\t1.5\tok\t0\t" DIGEST "\tit\0em\n";

  assert_rubbish (text, sizeof text - 1, "line 2");
}

static void
test_other_file (void)
{
  g_autofree char *long_line = g_strnfill (100000, 'x');
  g_autofree char *long_last = g_strconcat (WP_CLI_JOB_LOG_HEADER, long_line, NULL);

  assert_rubbish ("x", 1, "begin");
  assert_rubbish ("\n", 1, "begin");
  assert_rubbish ("index\tworker\n", 13, "begin");
  assert_rubbish (long_line, strlen (long_line), "begin");
  assert_rubbish (long_last, strlen (long_last), "line 2");
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/job-log/line/success", test_success);
  g_test_add_func ("/job-log/line/failure-and-what-is-unknown", test_failure);
  g_test_add_func ("/job-log/digest/is-of-function-and-item", test_digest);
  g_test_add_func ("/job-log/log/the-last-line-of-a-task-counts", test_read);
  g_test_add_func ("/job-log/log/what-is-written-is-read", test_written_is_read);
  g_test_add_func ("/job-log/log/a-cut-line-is-left-out", test_cut);
  g_test_add_func ("/job-log/log/rubbish-is-named", test_rubbish);
  g_test_add_func ("/job-log/log/nul-is-rubbish", test_nul);
  g_test_add_func ("/job-log/log/another-file-is-none", test_other_file);

  return g_test_run ();
}
