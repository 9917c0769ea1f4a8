/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a pool and its fork server say to each other, and what neither believes. */

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-server-message.h"
#include "channel/wp-server-socket.h"

static void
pass_on (const WpServerMessage *sent,
         gboolean               from_server,
         WpServerMessage       *received)
{
  g_autoptr (GBytes) packet = wp_server_message_encode (sent);
  g_autoptr (GError) error = NULL;
  gboolean decoded;

  g_assert_nonnull (packet);
  decoded = wp_server_message_decode (received, g_bytes_get_data (packet, NULL), g_bytes_get_size (packet), from_server,
                                      &error);
  g_assert_no_error (error);
  g_assert_true (decoded);
  g_assert_cmpint (received->type, ==, sent->type);
  g_assert_cmpuint (received->id, ==, sent->id);
}

static void
test_setup_keeps_bytes (void)
{
  char *preload[] = { (char *) "/path/with \xe9.so", (char *) "/another.so", NULL };
  const WpServerMessage sent = { .type = WP_SERVER_SETUP, .preload = preload, .function = (char *) "prepare" };
  const WpServerMessage empty = { .type = WP_SERVER_SETUP };
  g_auto (WpServerMessage) received = { 0 };
  g_auto (WpServerMessage) received_empty = { 0 };

  pass_on (&sent, FALSE, &received);
  g_assert_true (g_strv_equal ((const char *const *) received.preload, (const char *const *) preload));
  g_assert_cmpstr (received.function, ==, "prepare");

  pass_on (&empty, FALSE, &received_empty);
  g_assert_nonnull (received_empty.preload);
  g_assert_null (received_empty.preload[0]);
  g_assert_null (received_empty.function);
}

static void
test_setup_too_large (void)
{
  g_autofree char *name = g_strnfill (WP_SERVER_MESSAGE_MAX, 'x');
  const WpServerMessage message = { .type = WP_SERVER_SETUP, .function = name };

  g_assert_null (wp_server_message_encode (&message));
}

static void
test_numbers (void)
{
  const WpServerMessage sent[] = {
    { .type = WP_SERVER_FORK, .id = G_MAXUINT64 },
    { .type = WP_SERVER_SIGNAL, .id = 2, .signum = SIGKILL },
    { .type = WP_SERVER_READY },
    { .type = WP_SERVER_STARTED, .id = 3, .pid = 4711 },
    { .type = WP_SERVER_ENDED, .id = 4, .status = SIGSEGV },
    { .type = WP_SERVER_ENDED, .id = 5, .status = 3 << 8 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (sent); i++)
    {
      g_auto (WpServerMessage) received = { 0 };

      pass_on (&sent[i], sent[i].type >= WP_SERVER_READY, &received);
      g_assert_cmpint (received.pid, ==, sent[i].pid);
      g_assert_cmpint (received.status, ==, sent[i].status);
      g_assert_cmpint (received.signum, ==, sent[i].signum);
    }
}

static void
test_error_keeps_identity (void)
{
  g_autoptr (GError) error = g_error_new (G_FILE_ERROR, G_FILE_ERROR_NXIO, "no “device”, caf\xe9");
  const WpServerMessage sent = { .type = WP_SERVER_FAILED, .error = error };
  g_auto (WpServerMessage) received = { 0 };

  pass_on (&sent, TRUE, &received);
  g_assert_error (received.error, G_FILE_ERROR, G_FILE_ERROR_NXIO);
  g_assert_cmpstr (received.error->message, ==, "no “device”, caf�");
}

static void
test_error_is_cut (void)
{
  g_autofree char *text = g_strnfill (10 * WP_SERVER_MESSAGE_MAX, 'x');
  g_autoptr (GError) error = NULL;
  WpServerMessage sent = { .type = WP_SERVER_FAILED, .id = 1 };
  g_auto (WpServerMessage) received = { 0 };

  /* In the middle of a character. */
  memcpy (text + WP_SERVER_MESSAGE_MAX / 2 - 1, "é", strlen ("é"));
  error = g_error_new_literal (WP_ERROR, WP_ERROR_FAILED, text);
  sent.error = error;
  pass_on (&sent, TRUE, &received);
  g_assert_cmpuint (strlen (received.error->message), ==, WP_SERVER_MESSAGE_MAX / 2 - 1);
}

/* Takes the value. */
static void
assert_refused (GVariant *value,
                gboolean  from_server)
{
  g_autoptr (GVariant) native = g_variant_ref_sink (value);
  g_autoptr (GVariant) wire = G_BYTE_ORDER == G_LITTLE_ENDIAN ? g_variant_ref (native) : g_variant_byteswap (native);
  g_auto (WpServerMessage) message = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_server_message_decode (&message, g_variant_get_data (wire), g_variant_get_size (wire), from_server,
                                            &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
}

static GVariant *
envelope (int       type,
          GVariant *content)
{
  return g_variant_new ("(yv)", (guint8) type, content);
}

static void
test_refused (void)
{
  const guint64 id = 1, none = 0;

  /* Of an unknown type, or with another one's content. */
  assert_refused (envelope (WP_SERVER_ENDED + 1, g_variant_new ("(t)", id)), TRUE);
  assert_refused (envelope (255, g_variant_new ("(t)", id)), TRUE);
  assert_refused (envelope (WP_SERVER_READY, g_variant_new ("(t)", id)), TRUE);
  assert_refused (envelope (WP_SERVER_STARTED, g_variant_new ("(t)", id)), TRUE);
  assert_refused (envelope (WP_SERVER_SETUP, g_variant_new ("(asay)", NULL, NULL)), FALSE);
  assert_refused (g_variant_new ("(yv)", 0, g_variant_new_variant (g_variant_new_string ("?"))), FALSE);

  /* From the wrong side. */
  assert_refused (envelope (WP_SERVER_FORK, g_variant_new ("(t)", id)), TRUE);
  assert_refused (envelope (WP_SERVER_READY, g_variant_new ("()")), FALSE);
  assert_refused (envelope (WP_SERVER_ENDED, g_variant_new ("(ti)", id, 0)), FALSE);

  /* About no worker. */
  assert_refused (envelope (WP_SERVER_FORK, g_variant_new ("(t)", none)), FALSE);
  assert_refused (envelope (WP_SERVER_STARTED, g_variant_new ("(ti)", none, 100)), TRUE);
  assert_refused (envelope (WP_SERVER_ENDED, g_variant_new ("(ti)", none, 0)), TRUE);

  /* Numbers that reach other processes, or that nothing ends with. */
  assert_refused (envelope (WP_SERVER_STARTED, g_variant_new ("(ti)", id, 1)), TRUE);
  assert_refused (envelope (WP_SERVER_STARTED, g_variant_new ("(ti)", id, 0)), TRUE);
  assert_refused (envelope (WP_SERVER_STARTED, g_variant_new ("(ti)", id, -100)), TRUE);
  assert_refused (envelope (WP_SERVER_ENDED, g_variant_new ("(ti)", id, 0x137f)), TRUE);
  assert_refused (envelope (WP_SERVER_ENDED, g_variant_new ("(ti)", id, 0xffff)), TRUE);
  assert_refused (envelope (WP_SERVER_SIGNAL, g_variant_new ("(ti)", id, 0)), FALSE);
  assert_refused (envelope (WP_SERVER_SIGNAL, g_variant_new ("(ti)", id, NSIG)), FALSE);
  assert_refused (envelope (WP_SERVER_FAILED, g_variant_new ("(tsis)", id, "", 0, "text")), TRUE);
  assert_refused (envelope (WP_SERVER_FAILED, g_variant_new ("(tsis)", id, "domain", 0, "")), TRUE);
}

/* Every beginning of a message, every one with a bit that fell over, and noise: refused or read, and nothing else. */
static void
test_noise (void)
{
  g_autoptr (GError) cause = g_error_new_literal (WP_ERROR, WP_ERROR_FAILED, "some text");
  const WpServerMessage sent = { .type = WP_SERVER_FAILED, .id = 7, .error = cause };
  g_autoptr (GBytes) packet = wp_server_message_encode (&sent);
  gsize size;
  const guint8 *data = g_bytes_get_data (packet, &size);

  for (gsize length = 0; length < size; length++)
    {
      g_auto (WpServerMessage) message = { 0 };
      g_autoptr (GError) error = NULL;

      g_assert_false (wp_server_message_decode (&message, data, length, TRUE, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
    }

  for (gsize bit = 0; bit < 8 * size; bit++)
    {
      g_autofree guint8 *changed = g_memdup2 (data, size);
      g_auto (WpServerMessage) message = { 0 };
      g_autoptr (GError) error = NULL;

      changed[bit / 8] ^= 1 << bit % 8;
      if (!wp_server_message_decode (&message, changed, size, TRUE, &error))
        g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
    }

  for (guint i = 0; i < 20000; i++)
    {
      guint8 noise[64];
      g_auto (WpServerMessage) message = { 0 };
      g_autoptr (GError) error = NULL;

      for (guint j = 0; j < sizeof noise; j++)
        noise[j] = (guint8) g_test_rand_int ();
      if (!wp_server_message_decode (&message, noise, g_test_rand_int_range (0, sizeof noise), i % 2, &error))
        g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
    }
}

/* The socket */

typedef struct
{
  int fds[2];
} Pair;

static void
pair_set_up (Pair         *pair,
             gconstpointer data)
{
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair->fds), ==, 0);
}

static void
pair_tear_down (Pair         *pair,
                gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (pair->fds); i++)
    if (pair->fds[i] >= 0)
      close (pair->fds[i]);
}

static void
test_descriptor (Pair         *pair,
                 gconstpointer data)
{
  const WpServerMessage sent = { .type = WP_SERVER_FORK, .id = 1 };
  g_autoptr (GBytes) packet = wp_server_message_encode (&sent);
  g_auto (WpServerMessage) with = { 0 };
  g_auto (WpServerMessage) without = { 0 };
  g_autoptr (GError) error = NULL;
  int fd;

  g_assert_true (wp_server_socket_send (pair->fds[0], packet, STDERR_FILENO, &error));
  g_assert_true (wp_server_socket_send (pair->fds[0], packet, -1, &error));

  g_assert_true (wp_server_socket_receive (pair->fds[1], FALSE, &with, &fd, &error));
  g_assert_cmpint (fd, >, STDERR_FILENO);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  close (fd);

  g_assert_true (wp_server_socket_receive (pair->fds[1], FALSE, &without, &fd, &error));
  g_assert_cmpint (fd, ==, -1);
  g_assert_false (wp_server_socket_receive (pair->fds[1], FALSE, &without, &fd, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static void
test_several_descriptors (Pair         *pair,
                          gconstpointer data)
{
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (2 * sizeof (int))];
  } control = { .bytes = "" };
  const int fds[] = { STDOUT_FILENO, STDERR_FILENO };
  struct iovec vector = { (char *) "x", 1 };
  struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes };
  struct cmsghdr *rights;
  g_auto (WpServerMessage) message = { 0 };
  g_autoptr (GError) error = NULL;
  int fd;

  header.msg_controllen = sizeof control.bytes;
  rights = CMSG_FIRSTHDR (&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN (sizeof fds);
  memcpy (CMSG_DATA (rights), fds, sizeof fds);
  g_assert_cmpint (sendmsg (pair->fds[0], &header, 0), ==, 1);

  g_assert_false (wp_server_socket_receive (pair->fds[1], TRUE, &message, &fd, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
  close (fd);
}

static void
test_too_long (Pair         *pair,
               gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (WP_SERVER_MESSAGE_MAX + 100);
  g_auto (WpServerMessage) message = { 0 };
  g_autoptr (GError) error = NULL;
  int fd;

  g_assert_cmpint (send (pair->fds[0], bytes, WP_SERVER_MESSAGE_MAX + 100, 0), ==, WP_SERVER_MESSAGE_MAX + 100);
  g_assert_false (wp_server_socket_receive (pair->fds[1], TRUE, &message, &fd, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
}

static void
test_ends (Pair         *pair,
           gconstpointer data)
{
  const WpServerMessage ready = { .type = WP_SERVER_READY };
  g_autoptr (GBytes) packet = wp_server_message_encode (&ready);
  g_auto (WpServerMessage) message = { 0 };
  g_autoptr (GError) error = NULL;
  int fd;

  while (wp_server_socket_send (pair->fds[0], packet, -1, &error))
    continue;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);

  shutdown (pair->fds[0], SHUT_RDWR);
  while (wp_server_socket_receive (pair->fds[1], TRUE, &message, &fd, &error))
    wp_server_message_clear (&message);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_clear_error (&error);

  g_assert_false (wp_server_socket_send (pair->fds[1], packet, -1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
}

/* The other side's last words are heard, although it has not listened. */
static void
test_last_words (Pair         *pair,
                 gconstpointer data)
{
  const WpServerMessage ready = { .type = WP_SERVER_READY };
  g_autoptr (GBytes) packet = wp_server_message_encode (&ready);
  g_auto (WpServerMessage) message = { 0 };
  g_autoptr (GError) error = NULL;
  int fd;

  g_assert_true (wp_server_socket_send (pair->fds[1], packet, -1, &error));
  g_assert_true (wp_server_socket_send (pair->fds[0], packet, -1, &error));
  close (pair->fds[0]);
  pair->fds[0] = -1;

  g_assert_true (wp_server_socket_receive (pair->fds[1], TRUE, &message, &fd, &error));
  g_assert_no_error (error);
  g_assert_false (wp_server_socket_receive (pair->fds[1], TRUE, &message, &fd, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/channel/server-message/setup-keeps-bytes", test_setup_keeps_bytes);
  g_test_add_func ("/channel/server-message/setup-too-large", test_setup_too_large);
  g_test_add_func ("/channel/server-message/numbers", test_numbers);
  g_test_add_func ("/channel/server-message/error-keeps-identity", test_error_keeps_identity);
  g_test_add_func ("/channel/server-message/error-is-cut-between-characters", test_error_is_cut);
  g_test_add_func ("/channel/server-message/wrong-ones-are-refused", test_refused);
  g_test_add_func ("/channel/server-message/noise-is-refused-or-read", test_noise);
  g_test_add ("/channel/server-socket/passes-a-descriptor", Pair, NULL, pair_set_up, test_descriptor, pair_tear_down);
  g_test_add ("/channel/server-socket/refuses-several-descriptors", Pair, NULL, pair_set_up, test_several_descriptors,
              pair_tear_down);
  g_test_add ("/channel/server-socket/refuses-long-packets", Pair, NULL, pair_set_up, test_too_long, pair_tear_down);
  g_test_add ("/channel/server-socket/hears-last-words", Pair, NULL, pair_set_up, test_last_words, pair_tear_down);
  g_test_add ("/channel/server-socket/says-how-it-ends", Pair, NULL, pair_set_up, test_ends, pair_tear_down);

  return g_test_run ();
}
