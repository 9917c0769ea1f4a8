/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-channel.h"
#include "channel/wp-error.h"
#include "channel/wp-payload.h"
#include "channel/wp-shared-buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib-unix.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "bracketed-tests.h"

/* Two channels that are connected, or one channel and the raw descriptor at its other end. */
typedef struct
{
  WpChannel *near;
  WpChannel *far;
  int raw;
} Pair;

static WpChannel *
socket_channel (int fd)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, &error);

  g_assert_no_error (error);
  return wp_channel_new_for_socket (socket);
}

static WpChannel *
stream_channel (int input_fd, int output_fd)
{
  g_autoptr (GInputStream) input = g_unix_input_stream_new (input_fd, TRUE);
  g_autoptr (GOutputStream) output = g_unix_output_stream_new (output_fd, TRUE);

  return wp_channel_new_for_streams (input, output);
}

static Pair
open_sockets (void)
{
  Pair pair = { .raw = -1 };
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  pair.near = socket_channel (fds[0]);
  pair.far = socket_channel (fds[1]);
  return pair;
}

static Pair
open_streams (void)
{
  Pair pair = { .raw = -1 };
  int there[2];
  int back[2];

  g_assert_no_errno (pipe2 (there, O_CLOEXEC));
  g_assert_no_errno (pipe2 (back, O_CLOEXEC));
  pair.near = stream_channel (back[0], there[1]);
  pair.far = stream_channel (there[0], back[1]);
  return pair;
}

static Pair
open_raw (void)
{
  Pair pair = { NULL };
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  pair.near = socket_channel (fds[0]);
  pair.raw = fds[1];
  return pair;
}

static void
pair_close (Pair *pair)
{
  g_clear_pointer (&pair->near, wp_channel_free);
  g_clear_pointer (&pair->far, wp_channel_free);
  if (pair->raw >= 0)
    close (pair->raw);
  pair->raw = -1;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pair, pair_close)

static GPtrArray *
make_body (gsize size, guint8 seed)
{
  GPtrArray *body = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  guint8 *data = g_malloc (MAX (size, 1));

  for (gsize i = 0; i < size; i++)
    data[i] = seed + i * 7 + (i >> 12);
  g_ptr_array_add (body, g_bytes_new_take (data, size));
  return body;
}

static void
assert_body (GBytes *bytes, gsize size, guint8 seed)
{
  g_autoptr (GPtrArray) expected = make_body (size, seed);

  g_assert_nonnull (bytes);
  g_assert_true (g_bytes_equal (bytes, expected->pdata[0]));
  if (size > 0)
    g_assert_cmpuint (GPOINTER_TO_SIZE (g_bytes_get_data (bytes, NULL)) % 8, ==, 0);
}

/* Sends a frame whose content follows from its sequence. */
static void
send_numbered (WpChannel *channel, guint64 sequence, gsize body_size, int attached)
{
  WpFrameHeader header = { .type = WP_FRAME_RESULTS, .sequence = sequence, .head_length = 16 };
  g_autoptr (GPtrArray) body = body_size > 0 ? make_body (body_size, sequence) : NULL;
  g_autoptr (GError) error = NULL;
  guint8 head[16];

  memset (head, sequence, sizeof head);
  g_assert_true (wp_channel_send (channel, &header, head, body, attached, &error));
  g_assert_no_error (error);
}

static void
assert_numbered (const WpFrame *frame, guint64 sequence, gsize body_size)
{
  guint8 head[16];

  memset (head, sequence, sizeof head);
  g_assert_cmpuint (frame->header.sequence, ==, sequence);
  g_assert_cmpuint (frame->header.body_length, ==, body_size);
  g_assert_cmpmem (frame->head, frame->header.head_length, head, sizeof head);
  assert_body (frame->body, body_size, sequence);
}

/* Waits for the next frame, which must come. */
static void
receive (WpChannel *channel, WpFrame *frame, int *attached)
{
  g_autoptr (GError) error = NULL;

  while (!wp_channel_receive (channel, frame, attached, &error))
    {
      g_assert_no_error (error);
      g_assert_true (wp_channel_wait (channel, G_IO_IN, 10000));
    }
  g_assert_no_error (error);
}

static void
receive_numbered (WpChannel *channel, guint64 sequence, gsize body_size)
{
  g_auto (WpFrame) frame = { 0 };
  int attached;

  receive (channel, &frame, &attached);
  assert_numbered (&frame, sequence, body_size);
  g_assert_cmpint (attached, ==, -1);
}

static void
assert_nothing (WpChannel *channel)
{
  g_autoptr (GError) error = NULL;
  WpFrame frame;
  int attached;

  g_assert_false (wp_channel_receive (channel, &frame, &attached, &error));
  g_assert_no_error (error);
}

/* Receives until the channel fails, as it must, and checks that it stays so. */
static void
assert_fails (WpChannel *channel, GQuark domain, int code)
{
  for (int i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;
      WpFrame frame;
      int attached;

      while (!wp_channel_receive (channel, &frame, &attached, &error) && error == NULL)
        g_assert_true (wp_channel_wait (channel, G_IO_IN, 10000));
      g_assert_error (error, domain, code);
      g_assert_cmpint (attached, ==, -1);
    }
}

static void
exchange (Pair *pair)
{
  static const gsize sizes[] = {
    0, 8, 64, 4096, WP_PAYLOAD_LARGE - 8, WP_PAYLOAD_LARGE, WP_PAYLOAD_LARGE + 8
  };

  assert_nothing (pair->far);
  g_assert_false (wp_channel_wait (pair->far, G_IO_IN, 0));
  for (guint64 i = 0; i < 10 * G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i % G_N_ELEMENTS (sizes)];

      send_numbered (pair->near, i, size, -1);
      while (wp_channel_has_output (pair->near))
        {
          g_auto (WpFrame) frame = { 0 };
          int attached;

          if (wp_channel_receive (pair->far, &frame, &attached, NULL))
            {
              assert_numbered (&frame, i, size);
              size = 0;
            }
          g_assert_true (wp_channel_flush (pair->near, NULL));
        }
      if (size > 0 || sizes[i % G_N_ELEMENTS (sizes)] == 0)
        receive_numbered (pair->far, i, size);

      send_numbered (pair->far, i + 1000, 24, -1);
      receive_numbered (pair->near, i + 1000, 24);
    }
  assert_nothing (pair->far);
  assert_nothing (pair->near);
}

static void
test_socket_round_trip (void)
{
  g_auto (Pair) pair = open_sockets ();

  g_assert_true (wp_channel_can_share (pair.near));
  g_assert_cmpint (wp_channel_get_input_fd (pair.near), ==, wp_channel_get_output_fd (pair.near));
  exchange (&pair);
}

static void
test_streams_round_trip (void)
{
  g_auto (Pair) pair = open_streams ();

  g_assert_false (wp_channel_can_share (pair.near));
  g_assert_cmpint (wp_channel_get_input_fd (pair.near), !=, wp_channel_get_output_fd (pair.near));
  exchange (&pair);
}

static void
test_coalesced (void)
{
  g_auto (Pair) pair = open_sockets ();

  for (guint64 i = 0; i < 100; i++)
    send_numbered (pair.near, i, 64, -1);

  receive_numbered (pair.far, 0, 64);
  g_assert_true (wp_channel_has_input (pair.far));
  g_assert_true (wp_channel_wait (pair.far, G_IO_IN, 0));
  for (guint64 i = 1; i < 100; i++)
    receive_numbered (pair.far, i, 64);
  g_assert_false (wp_channel_has_input (pair.far));
  assert_nothing (pair.far);

  /* What comes after "nothing" is found. */
  send_numbered (pair.near, 100, 64, -1);
  g_assert_true (wp_channel_wait (pair.far, G_IO_IN, -1));
  receive_numbered (pair.far, 100, 64);
}

static void
test_many_segments (void)
{
  g_auto (Pair) pair = open_sockets ();
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .sequence = 3 };
  g_autoptr (GPtrArray) body = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr (GByteArray) expected = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  g_auto (WpFrame) frame = { 0 };
  int attached;

  for (guint i = 0; i < 1000; i++)
    {
      g_autoptr (GPtrArray) part = make_body (i % 40, i);

      g_ptr_array_add (body, g_bytes_ref (part->pdata[0]));
      g_byte_array_append (expected, g_bytes_get_data (part->pdata[0], NULL), i % 40);
    }

  g_assert_true (wp_channel_send (pair.near, &header, NULL, body, -1, &error));
  g_assert_no_error (error);
  while (wp_channel_has_output (pair.near))
    g_assert_true (wp_channel_flush (pair.near, NULL));
  receive (pair.far, &frame, &attached);
  g_assert_cmpmem (g_bytes_get_data (frame.body, NULL), g_bytes_get_size (frame.body),
                   expected->data, expected->len);
}

/* Descriptors */

static guint64
get_inode (int fd)
{
  struct stat info;

  g_assert_no_errno (fstat (fd, &info));
  return info.st_ino;
}

static void
test_large_is_shared (void)
{
  g_auto (Pair) pair = open_sockets ();
  g_auto (WpFrame) frame = { 0 };
  int attached;

  send_numbered (pair.near, 1, WP_PAYLOAD_LARGE - 8, -1);
  receive (pair.far, &frame, &attached);
  g_assert_cmpint (frame.header.flags & WP_FRAME_SHARED, ==, 0);
  wp_frame_clear (&frame);

  send_numbered (pair.near, 2, 10 * WP_PAYLOAD_LARGE, -1);
  receive (pair.far, &frame, &attached);
  g_assert_cmpint (frame.header.flags & WP_FRAME_SHARED, ==, WP_FRAME_SHARED);
  g_assert_cmpint (attached, ==, -1);
  assert_numbered (&frame, 2, 10 * WP_PAYLOAD_LARGE);
}

static void
test_send_shared (void)
{
  g_auto (Pair) pair = open_sockets ();
  static const gsize sizes[] = { 0, 8, 1000000 };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      WpFrameHeader header = { .type = WP_FRAME_CHUNK, .sequence = i };
      g_autoptr (GPtrArray) body = make_body (sizes[i], i);
      g_autoptr (GError) error = NULL;
      g_auto (WpFrame) frame = { 0 };
      int fd = wp_shared_buffer_create (body, &error);
      int attached;

      g_assert_no_error (error);
      g_assert_true (wp_channel_send_shared (pair.near, &header, NULL, fd, sizes[i], &error));
      g_assert_no_error (error);
      close (fd);

      receive (pair.far, &frame, &attached);
      assert_body (frame.body, sizes[i], i);
    }
}

static void
test_attached (void)
{
  g_auto (Pair) pair = open_sockets ();
  int files[3];

  for (guint64 i = 0; i < G_N_ELEMENTS (files); i++)
    {
      files[i] = memfd_create ("attached", MFD_CLOEXEC);
      send_numbered (pair.near, 2 * i, i == 1 ? 2 * WP_PAYLOAD_LARGE : 64, files[i]);
      send_numbered (pair.near, 2 * i + 1, 64, -1);
    }

  for (guint64 i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_auto (WpFrame) frame = { 0 };
      int attached;

      receive (pair.far, &frame, &attached);
      assert_numbered (&frame, 2 * i, i == 1 ? 2 * WP_PAYLOAD_LARGE : 64);
      g_assert_cmpint (frame.header.flags & WP_FRAME_SHARED, ==, 0);
      g_assert_cmpint (attached, >=, 0);
      g_assert_cmpuint (get_inode (attached), ==, get_inode (files[i]));
      g_assert_cmpint (fcntl (attached, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
      close (attached);
      receive_numbered (pair.far, 2 * i + 1, 64);
      close (files[i]);
    }
}

/* Sends bytes and descriptors as they are. */
static void
send_raw (int fd, gconstpointer bytes, gsize size, const int *fds, guint n_fds)
{
  struct iovec vector = { .iov_base = (void *) bytes, .iov_len = size };
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (253 * sizeof (int))];
  } control;
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

  if (n_fds > 0)
    {
      memset (&control, 0, sizeof control);
      message.msg_control = &control;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      memcpy (CMSG_DATA (&control.header), fds, n_fds * sizeof (int));
    }
  g_assert_cmpint (sendmsg (fd, &message, MSG_NOSIGNAL), ==, size);
}

static void
send_raw_frame (int fd, WpFrameFlags flags, guint64 body_length, const int *fds, guint n_fds)
{
  WpFrameHeader header = { .type = WP_FRAME_RESULTS, .flags = flags, .body_length = body_length };
  guint8 encoded[WP_FRAME_HEADER_SIZE];

  wp_frame_header_encode (&header, encoded);
  send_raw (fd, encoded, sizeof encoded, fds, n_fds);
}

static void
test_missing_descriptor (void)
{
  static const WpFrameFlags flags[] = { WP_FRAME_ATTACHED, WP_FRAME_SHARED };

  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_auto (Pair) pair = open_raw ();

      send_raw_frame (pair.raw, flags[i], 0, NULL, 0);
      assert_fails (pair.near, WP_ERROR, WP_ERROR_PROTOCOL);
    }
}

static void
test_missing_descriptor_on_streams (void)
{
  int there[2];
  int back[2];
  g_autoptr (WpChannel) channel = NULL;
  WpFrameHeader header = { .type = WP_FRAME_RESULTS, .flags = WP_FRAME_SHARED };
  guint8 encoded[WP_FRAME_HEADER_SIZE];

  g_assert_no_errno (pipe2 (there, O_CLOEXEC));
  g_assert_no_errno (pipe2 (back, O_CLOEXEC));
  channel = stream_channel (there[0], back[1]);
  wp_frame_header_encode (&header, encoded);
  g_assert_cmpint (write (there[1], encoded, sizeof encoded), ==, sizeof encoded);
  assert_fails (channel, WP_ERROR, WP_ERROR_PROTOCOL);
  close (there[1]);
  close (back[0]);
}

static void
test_superfluous_descriptors (void)
{
  int file = memfd_create ("superfluous", MFD_CLOEXEC);
  const int two[] = { file, file };

  {
    g_auto (Pair) pair = open_raw ();
    g_auto (WpFrame) frame = { 0 };
    int attached;

    send_raw_frame (pair.raw, 0, 0, &file, 1);
    receive (pair.near, &frame, &attached);
    g_assert_cmpint (attached, ==, -1);
    assert_fails (pair.near, WP_ERROR, WP_ERROR_PROTOCOL);
  }
  {
    g_auto (Pair) pair = open_raw ();
    g_auto (WpFrame) frame = { 0 };
    int attached;

    send_raw_frame (pair.raw, WP_FRAME_ATTACHED, 0, two, 2);
    receive (pair.near, &frame, &attached);
    g_assert_cmpint (attached, >=, 0);
    close (attached);
    assert_fails (pair.near, WP_ERROR, WP_ERROR_PROTOCOL);
  }
  close (file);
}

static void
test_flood_of_descriptors (void)
{
  g_auto (Pair) pair = open_raw ();
  WpFrameHeader header = { .type = WP_FRAME_RESULTS, .body_length = 1000 };
  guint8 encoded[WP_FRAME_HEADER_SIZE];
  int fds[60];

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = pair.raw;

  /* A frame that never ends, so that the descriptors may still belong to the next ones. */
  wp_frame_header_encode (&header, encoded);
  send_raw (pair.raw, encoded, sizeof encoded, fds, G_N_ELEMENTS (fds));
  assert_nothing (pair.near);
  send_raw (pair.raw, "x", 1, fds, G_N_ELEMENTS (fds));
  assert_fails (pair.near, WP_ERROR, WP_ERROR_PROTOCOL);
}

static void
run_lost_descriptor (void)
{
  g_auto (Pair) pair = open_raw ();
  struct rlimit limit;
  int file = memfd_create ("lost", MFD_CLOEXEC);

  send_raw_frame (pair.raw, WP_FRAME_ATTACHED, 0, &file, 1);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  limit.rlim_cur = file + 1;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  assert_fails (pair.near, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
  close (file);
}

static void
test_lost_descriptor (void)
{
  if (g_test_subprocess ())
    {
      run_lost_descriptor ();
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static int
make_file (gsize size, int seals)
{
  int fd = memfd_create ("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_no_errno (ftruncate (fd, size));
  g_assert_no_errno (fcntl (fd, F_ADD_SEALS, seals));
  return fd;
}

static void
assert_not_mapped (int fd, gsize length)
{
  g_auto (Pair) pair = open_raw ();
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_shared_buffer_map (fd, length, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);

  send_raw_frame (pair.raw, WP_FRAME_SHARED, length, &fd, 1);
  assert_fails (pair.near, WP_ERROR, WP_ERROR_PROTOCOL);
  close (fd);
}

static void
test_missing_seals (void)
{
  const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  g_autoptr (GBytes) bytes = NULL;
  int fds[2];
  int fd;

  assert_not_mapped (make_file (4096, all & ~F_SEAL_SHRINK), 4096);
  assert_not_mapped (make_file (4096, all & ~F_SEAL_GROW), 4096);
  assert_not_mapped (make_file (4096, all & ~F_SEAL_WRITE), 4096);
  assert_not_mapped (make_file (4096, all), 4097);
  assert_not_mapped (make_file (4096, all), WP_FRAME_MAX_SHARED);
  assert_not_mapped (open ("/proc/self/exe", O_RDONLY | O_CLOEXEC), 4096);
  assert_not_mapped (open ("/dev/zero", O_RDONLY | O_CLOEXEC), 4096);
  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  assert_not_mapped (fds[0], 0);
  close (fds[1]);

  fd = make_file (4096, all);
  bytes = wp_shared_buffer_map (fd, 4000, NULL);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 4000);
  close (fd);
}

static void
test_shared_buffer_is_sealed (void)
{
  g_autoptr (GPtrArray) body = make_body (100000, 3);
  g_autoptr (GBytes) bytes = NULL;
  int fd;

  /* More segments than one write takes, and empty ones between. */
  for (guint i = 0; i < 200; i++)
    {
      g_autoptr (GPtrArray) part = make_body (i % 3, i);

      g_ptr_array_add (body, g_bytes_ref (part->pdata[0]));
    }

  fd = wp_shared_buffer_create (body, NULL);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "x", 1, 0), ==, -1);
  g_assert_cmpint (ftruncate (fd, 5), ==, -1);
  g_assert_cmpint (ftruncate (fd, 1000000), ==, -1);
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);

  bytes = wp_shared_buffer_map (fd, 100000 + 199, NULL);
  close (fd);
  for (gsize i = 0, position = 0; i < body->len; i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (body->pdata[i], &size);

      g_assert_cmpmem ((const guint8 *) g_bytes_get_data (bytes, NULL) + position, size, data,
                       size);
      position += size;
    }
}

/* Without memfds */

static void
refuse_memfds (void)
{
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { .len = G_N_ELEMENTS (filter), .filter = filter };

  g_assert_no_errno (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  g_assert_no_errno (prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/* A gigabyte and a bit, of one megabyte. */
static GPtrArray *
make_huge_body (void)
{
  GPtrArray *body = make_body (1024 * 1024, 0);

  for (int i = 0; i < 1024; i++)
    g_ptr_array_add (body, g_bytes_ref (body->pdata[0]));
  return body;
}

static void
assert_too_large (WpChannel *channel)
{
  WpFrameHeader header = { .type = WP_FRAME_CHUNK };
  g_autoptr (GPtrArray) body = make_huge_body ();
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_channel_send (channel, &header, NULL, body, -1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);
  g_assert_nonnull (strstr (error->message, "1073741824"));
  g_assert_nonnull (strstr (error->message, "70368744177664"));
  if (wp_channel_can_share (channel))
    g_assert_nonnull (strstr (error->message, g_strerror (EPERM)));
}

static void
run_without_memfds (void)
{
  g_auto (Pair) pair = open_sockets ();
  g_auto (WpFrame) frame = { 0 };
  g_autoptr (GError) error = NULL;
  int attached;

  refuse_memfds ();
  send_numbered (pair.near, 7, 3 * 1000 * 1000, -1);
  while (!wp_channel_receive (pair.far, &frame, &attached, &error))
    {
      g_assert_no_error (error);
      g_assert_true (wp_channel_flush (pair.near, NULL));
    }
  g_assert_cmpint (frame.header.flags, ==, 0);
  assert_numbered (&frame, 7, 3 * 1000 * 1000);

  assert_too_large (pair.near);
  send_numbered (pair.near, 8, 64, -1);
  receive_numbered (pair.far, 8, 64);
}

static void
test_memfd_refused (void)
{
  if (g_test_subprocess ())
    {
      run_without_memfds ();
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static void
test_too_large (void)
{
  g_auto (Pair) pair = open_streams ();

  assert_too_large (pair.near);
  g_assert_false (wp_channel_has_output (pair.near));
  send_numbered (pair.near, 1, 64, -1);
  receive_numbered (pair.far, 1, 64);
}

static void
test_head_too_large (void)
{
  g_auto (Pair) pair = open_sockets ();
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .head_length = WP_FRAME_MAX_HEAD + 8 };
  g_autofree guint8 *head = g_malloc0 (header.head_length);
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_channel_send (pair.near, &header, head, NULL, -1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);

  header.head_length = WP_FRAME_MAX_HEAD;
  g_assert_true (wp_channel_send (pair.near, &header, head, NULL, -1, NULL));
}

/* A peer that does not read */

static gsize
choose_size (guint64 sequence)
{
  static const gsize sizes[] = { 0, 64, 8, 40000, 0, 2 * WP_PAYLOAD_LARGE, 1000, 56 };

  return sizes[sequence % G_N_ELEMENTS (sizes)];
}

static void
send_past_the_end (Pair *pair)
{
  gboolean attaches = wp_channel_can_share (pair->near);
  int file = memfd_create ("attached", MFD_CLOEXEC);
  guint64 n_sent = 0;
  guint n_waiting = 0;

  while (n_waiting < 200)
    {
      send_numbered (pair->near, n_sent, choose_size (n_sent),
                     attaches && n_sent % 10 == 3 ? file : -1);
      n_sent++;
      n_waiting += wp_channel_has_output (pair->near);
    }
  g_assert_false (wp_channel_wait (pair->near, G_IO_OUT, 0));

  for (guint64 i = 0; i < n_sent; i++)
    {
      g_auto (WpFrame) frame = { 0 };
      g_autoptr (GError) error = NULL;
      int attached;

      while (!wp_channel_receive (pair->far, &frame, &attached, &error))
        {
          g_assert_no_error (error);
          g_assert_true (wp_channel_flush (pair->near, &error));
          g_assert_no_error (error);
        }
      assert_numbered (&frame, i, choose_size (i));
      g_assert_cmpint (attached >= 0, ==, attaches && i % 10 == 3);
      if (attached >= 0)
        {
          g_assert_cmpuint (get_inode (attached), ==, get_inode (file));
          close (attached);
        }
    }
  g_assert_false (wp_channel_has_output (pair->near));
  assert_nothing (pair->far);
  close (file);
}

static void
test_socket_back_pressure (void)
{
  g_auto (Pair) pair = open_sockets ();

  send_past_the_end (&pair);
}

static void
test_streams_back_pressure (void)
{
  g_auto (Pair) pair = open_streams ();

  send_past_the_end (&pair);
}

static void
test_waiting_output_is_let_go (void)
{
  g_auto (Pair) pair = open_sockets ();
  int file = memfd_create ("attached", MFD_CLOEXEC);
  guint n_waiting = 0;

  for (guint64 i = 0; n_waiting < 100; i++)
    {
      send_numbered (pair.near, i, 3000, file);
      n_waiting += wp_channel_has_output (pair.near);
    }
  close (file);
}

static void
test_encoded (void)
{
  g_auto (Pair) pair = open_sockets ();
  g_autoptr (GByteArray) encoded = g_byte_array_new ();
  const guint n_sends = 200;
  const guint n_frames = 50;

  for (guint64 i = 0; i < n_frames; i++)
    {
      WpFrameHeader header = {
        .type = WP_FRAME_RESULTS, .sequence = i, .head_length = 16, .body_length = 64
      };
      g_autoptr (GPtrArray) body = make_body (64, i);
      guint8 front[WP_FRAME_HEADER_SIZE + 16];

      wp_frame_header_encode (&header, front);
      memset (front + WP_FRAME_HEADER_SIZE, i, 16);
      g_byte_array_append (encoded, front, sizeof front);
      g_byte_array_append (encoded, g_bytes_get_data (body->pdata[0], NULL), 64);
    }

  for (guint i = 0; i < n_sends; i++)
    {
      g_autofree guint8 *bytes = g_memdup2 (encoded->data, encoded->len);

      g_assert_true (wp_channel_send_encoded (pair.near, bytes, encoded->len, NULL));
      /* The memory is the caller's again. */
      memset (bytes, 0xff, encoded->len);
    }
  g_assert_true (wp_channel_has_output (pair.near));

  for (guint i = 0; i < n_sends * n_frames; i++)
    {
      g_auto (WpFrame) frame = { 0 };
      g_autoptr (GError) error = NULL;
      int attached;

      while (!wp_channel_receive (pair.far, &frame, &attached, &error))
        {
          g_assert_no_error (error);
          g_assert_true (wp_channel_flush (pair.near, NULL));
        }
      assert_numbered (&frame, i % n_frames, 64);
    }
}

/* The end */

static void
assert_clean_end (Pair *pair)
{
  send_numbered (pair->far, 5, 64, -1);
  g_clear_pointer (&pair->far, wp_channel_free);
  receive_numbered (pair->near, 5, 64);
  assert_fails (pair->near, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

static void
test_clean_end (void)
{
  g_auto (Pair) sockets = open_sockets ();
  g_auto (Pair) streams = open_streams ();

  assert_clean_end (&sockets);
  assert_clean_end (&streams);
}

static void
test_end_with_unread_input (void)
{
  g_auto (Pair) pair = open_sockets ();

  send_numbered (pair.near, 1, 64, -1);
  send_numbered (pair.far, 5, 64, -1);
  g_clear_pointer (&pair.far, wp_channel_free);
  receive_numbered (pair.near, 5, 64);
  assert_fails (pair.near, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

static void
test_end_within_a_frame (void)
{
  WpFrameHeader header = { .type = WP_FRAME_RESULTS, .head_length = 16, .body_length = 200000 };
  static const gsize sizes[] = { 1, 31, 32, 40, 48, 49, 100000, 200047 };
  g_autofree guint8 *encoded = g_malloc0 (WP_FRAME_HEADER_SIZE + 16 + 200000);

  wp_frame_header_encode (&header, encoded);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_auto (Pair) pair = open_raw ();
      gsize sent = 0;

      g_unix_set_fd_nonblocking (pair.raw, TRUE, NULL);
      while (sent < sizes[i])
        {
          gssize n = send (pair.raw, encoded + sent, sizes[i] - sent, MSG_NOSIGNAL);

          sent += MAX (n, 0);
          assert_nothing (pair.near);
        }
      close (pair.raw);
      pair.raw = -1;
      assert_fails (pair.near, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT);
    }
}

static void
assert_broken_output (Pair *pair)
{
  WpFrameHeader header = { .type = WP_FRAME_STOP };

  g_clear_pointer (&pair->far, wp_channel_free);
  for (int i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (wp_channel_send (pair->near, &header, NULL, NULL, -1, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
    }
  g_assert_false (wp_channel_flush (pair->near, NULL));
  g_assert_false (wp_channel_send_encoded (pair->near, (const guint8 *) "", 1, NULL));
  g_assert_false (wp_channel_has_output (pair->near));
}

static void
test_broken_output (void)
{
  g_auto (Pair) sockets = open_sockets ();
  g_auto (Pair) streams = open_streams ();

  assert_broken_output (&sockets);
  /* GSocket makes the whole process ignore SIGPIPE; a channel over pipes must not count on it. */
  signal (SIGPIPE, SIG_DFL);
  assert_broken_output (&streams);
}

static void
test_broken_while_waiting (void)
{
  g_auto (Pair) pair = open_sockets ();
  g_autoptr (GError) error = NULL;

  for (guint64 i = 0; !wp_channel_has_output (pair.near); i++)
    send_numbered (pair.near, i, 3000, -1);
  g_clear_pointer (&pair.far, wp_channel_free);
  g_assert_false (wp_channel_flush (pair.near, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
  g_assert_false (wp_channel_has_output (pair.near));
}

static void
test_garbage (void)
{
  g_auto (Pair) pair = open_raw ();
  const char *garbage = "Traceback (most recent call last): and so on";

  send_raw (pair.raw, garbage, strlen (garbage), NULL, 0);
  assert_fails (pair.near, WP_ERROR, WP_ERROR_PROTOCOL);
}

/* Waiting */

static int n_signals; /* atomic */

static void
count_signal (int signum)
{
  g_atomic_int_inc (&n_signals);
}

static void
test_interrupted_wait (void)
{
  g_auto (Pair) pair = open_sockets ();
  const struct itimerval often = { { 0, 2000 }, { 0, 2000 } };
  const struct itimerval never = { { 0, 0 }, { 0, 0 } };
  struct sigaction action = { .sa_handler = count_signal };
  struct sigaction saved;
  gint64 start = g_get_monotonic_time ();

  sigaction (SIGALRM, &action, &saved);
  setitimer (ITIMER_REAL, &often, NULL);
  g_assert_false (wp_channel_wait (pair.near, G_IO_IN, 100));
  setitimer (ITIMER_REAL, &never, NULL);
  sigaction (SIGALRM, &saved, NULL);

  g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
  g_assert_cmpint (g_atomic_int_get (&n_signals), >, 1);
}

static gpointer
send_one (gpointer data)
{
  send_numbered (data, 77, 64, -1);
  return NULL;
}

static void
test_wait (void)
{
  g_auto (Pair) pair = open_sockets ();
  GThread *thread;

  g_assert_true (wp_channel_wait (pair.near, G_IO_OUT, -1));
  g_assert_true (wp_channel_wait (pair.near, G_IO_IN | G_IO_OUT, -1));
  g_assert_false (wp_channel_wait (pair.near, G_IO_IN, 1));

  thread = g_thread_new ("sender", send_one, pair.far);
  g_assert_true (wp_channel_wait (pair.near, G_IO_IN, -1));
  g_thread_join (thread);
  receive_numbered (pair.near, 77, 64);

  g_clear_pointer (&pair.far, wp_channel_free);
  g_assert_true (wp_channel_wait (pair.near, G_IO_IN, -1));
}

static void
test_wait_input (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_auto (Pair) pair = i == 0 ? open_sockets () : open_streams ();
      g_auto (WpFrame) frame = { 0 };
      gint64 start = g_get_monotonic_time ();
      GThread *thread;
      int attached;

      g_assert_false (wp_channel_wait_input (pair.near, 0));
      while (!wp_channel_wait_input (pair.near, 20) && g_get_monotonic_time () < start + 100 * 1000)
        ;
      g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
      g_assert_cmpint (g_get_monotonic_time () - start, <, 10 * G_TIME_SPAN_SECOND);

      thread = g_thread_new ("sender", send_one, pair.far);
      while (!wp_channel_wait_input (pair.near, -1))
        ;
      g_thread_join (thread);
      receive_numbered (pair.near, 77, 64);
      g_assert_false (wp_channel_receive (pair.near, &frame, &attached, NULL));

      /* What is there already is not waited for. */
      send_numbered (pair.far, 1, 64, -1);
      send_numbered (pair.far, 2, 64, -1);
      g_assert_true (wp_channel_wait_input (pair.near, -1));
      receive_numbered (pair.near, 1, 64);
      g_assert_true (wp_channel_wait_input (pair.near, -1));
      receive_numbered (pair.near, 2, 64);
    }
}

static void
test_wait_input_for_the_end (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_auto (Pair) pair = i == 0 ? open_sockets () : open_streams ();
      g_auto (WpFrame) frame = { 0 };
      g_autoptr (GError) error = NULL;
      int attached;

      g_clear_pointer (&pair.far, wp_channel_free);
      g_assert_true (wp_channel_wait_input (pair.near, -1));
      g_assert_true (wp_channel_wait_input (pair.near, -1));
      g_assert_false (wp_channel_receive (pair.near, &frame, &attached, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
    }
}

/* Who waits gets to see what a signal's handler has done. */
static void
test_wait_input_interrupted (void)
{
  g_auto (Pair) pair = open_sockets ();
  const struct itimerval once = { { 0, 0 }, { 0, 20000 } };
  struct sigaction action = { .sa_handler = count_signal };
  struct sigaction saved;
  int before = g_atomic_int_get (&n_signals);

  sigaction (SIGALRM, &action, &saved);
  setitimer (ITIMER_REAL, &once, NULL);
  g_assert_false (wp_channel_wait_input (pair.near, 60000));
  sigaction (SIGALRM, &saved, NULL);
  g_assert_cmpint (g_atomic_int_get (&n_signals), ==, before + 1);
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/channel/socket/round-trip", test_socket_round_trip },
    { "/channel/streams/round-trip", test_streams_round_trip },
    { "/channel/frames/that-came-together-come-out-one-by-one", test_coalesced },
    { "/channel/frames/may-have-many-segments", test_many_segments },
    { "/channel/frames/with-too-long-a-head-are-refused", test_head_too_large },
    { "/channel/shared/large-bodies-travel-as-memory", test_large_is_shared },
    { "/channel/shared/buffers-may-be-made-before", test_send_shared },
    { "/channel/shared/buffers-cannot-be-changed", test_shared_buffer_is_sealed },
    { "/channel/shared/missing-seals-are-refused", test_missing_seals },
    { "/channel/shared/refused-memory-goes-inline", test_memfd_refused },
    { "/channel/shared/what-fits-nowhere-is-an-error", test_too_large },
    { "/channel/descriptors/come-with-their-frame", test_attached },
    { "/channel/descriptors/missing-is-an-error", test_missing_descriptor },
    { "/channel/descriptors/missing-is-an-error-on-streams", test_missing_descriptor_on_streams },
    { "/channel/descriptors/superfluous-is-an-error", test_superfluous_descriptors },
    { "/channel/descriptors/a-flood-is-an-error", test_flood_of_descriptors },
    { "/channel/descriptors/lost-ones-are-explained", test_lost_descriptor },
    { "/channel/full/socket-keeps-order", test_socket_back_pressure },
    { "/channel/full/streams-keep-order", test_streams_back_pressure },
    { "/channel/full/waiting-output-is-let-go", test_waiting_output_is_let_go },
    { "/channel/full/encoded-bytes-are-copied", test_encoded },
    { "/channel/end/clean", test_clean_end },
    { "/channel/end/of-a-peer-that-read-nothing", test_end_with_unread_input },
    { "/channel/end/within-a-frame", test_end_within_a_frame },
    { "/channel/end/output-is-broken", test_broken_output },
    { "/channel/end/waiting-output-is-broken", test_broken_while_waiting },
    { "/channel/end/garbage-is-no-frame", test_garbage },
    { "/channel/wait/ends-by-condition", test_wait },
    { "/channel/wait/survives-signals", test_interrupted_wait },
    { "/channel/wait-input/ends-by-input", test_wait_input },
    { "/channel/wait-input/ends-by-the-end", test_wait_input_for_the_end },
    { "/channel/wait-input/ends-by-a-signal", test_wait_input_interrupted },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
