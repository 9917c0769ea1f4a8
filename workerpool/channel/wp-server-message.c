/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-server-message.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "channel/wp-error.h"

/* A type, and what the type says. */
#define ENVELOPE "(yv)"

/* Of an error's text; the rest of its message is small. */
#define MAX_TEXT (WP_SERVER_MESSAGE_MAX / 2)

static const char *const content_types[] = {
  [WP_SERVER_SETUP] = "(aayay)",
  [WP_SERVER_FORK] = "(t)",
  [WP_SERVER_SIGNAL] = "(ti)",
  [WP_SERVER_READY] = "()",
  [WP_SERVER_FAILED] = "(tsis)",
  [WP_SERVER_STARTED] = "(ti)",
  [WP_SERVER_ENDED] = "(ti)",
};

static GVariant *
make_setup (const WpServerMessage *message)
{
  const char *const none[] = { NULL };
  const char *const *preload = message->preload != NULL ? (const char *const *) message->preload : none;

  /* Paths and names are bytes: a file need not be called anything in UTF-8. */
  return g_variant_new ("(@aay@ay)", g_variant_new_bytestring_array (preload, -1),
                        g_variant_new_bytestring (message->function != NULL ? message->function : ""));
}

static GVariant *
make_failed (const WpServerMessage *message)
{
  g_autofree char *text = g_utf8_make_valid (message->error->message, -1);

  if (strlen (text) > MAX_TEXT)
    {
      const char *end;

      g_utf8_validate (text, MAX_TEXT, &end);
      text[end - text] = '\0';
    }

  return g_variant_new ("(tsis)", message->id, g_quark_to_string (message->error->domain), message->error->code, text);
}

static GVariant *
make_content (const WpServerMessage *message)
{
  switch (message->type)
    {
    case WP_SERVER_SETUP:
      return make_setup (message);

    case WP_SERVER_FORK:
      return g_variant_new ("(t)", message->id);

    case WP_SERVER_SIGNAL:
      return g_variant_new ("(ti)", message->id, message->signum);

    case WP_SERVER_READY:
      return g_variant_new ("()");

    case WP_SERVER_FAILED:
      return make_failed (message);

    case WP_SERVER_STARTED:
      return g_variant_new ("(ti)", message->id, message->pid);

    case WP_SERVER_ENDED:
      return g_variant_new ("(ti)", message->id, message->status);

    default:
      g_assert_not_reached ();
    }
}

static GVariant *
swap_to_or_from_wire (GVariant *value)
{
  if (G_BYTE_ORDER == G_LITTLE_ENDIAN)
    return g_variant_ref (value);

  return g_variant_byteswap (value);
}

GBytes *
wp_server_message_encode (const WpServerMessage *message)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) wire = NULL;

  value = g_variant_ref_sink (g_variant_new ("(yv)", (guint8) message->type, make_content (message)));
  wire = swap_to_or_from_wire (value);
  if (g_variant_get_size (wire) > WP_SERVER_MESSAGE_MAX)
    return NULL;

  return g_variant_get_data_as_bytes (wire);
}

static gboolean
set_flaw (GError    **error,
          const char *flaw)
{
  g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, flaw);
  return FALSE;
}

static gboolean
take_content (WpServerMessage *message,
              GVariant        *content,
              GError         **error)
{
  const char *domain = NULL;
  const char *text = NULL;
  int code = 0;

  switch (message->type)
    {
    case WP_SERVER_SETUP:
      g_variant_get (content, "(^aay^ay)", &message->preload, &message->function);
      if (*message->function == '\0')
        g_clear_pointer (&message->function, g_free);
      return TRUE;

    case WP_SERVER_READY:
      return TRUE;

    case WP_SERVER_FORK:
      g_variant_get (content, "(t)", &message->id);
      break;

    case WP_SERVER_SIGNAL:
      g_variant_get (content, "(ti)", &message->id, &message->signum);
      if (message->signum <= 0 || message->signum >= NSIG)
        return set_flaw (error, "a number that is no signal");
      break;

    case WP_SERVER_FAILED:
      g_variant_get (content, "(t&si&s)", &message->id, &domain, &code, &text);
      if (*domain == '\0' || *text == '\0')
        return set_flaw (error, "an error that says nothing");
      message->error = g_error_new_literal (g_quark_from_string (domain), code, text);
      return TRUE;

    case WP_SERVER_STARTED:
      g_variant_get (content, "(ti)", &message->id, &message->pid);
      /* What is sent to a process or a group of a lower number reaches others. */
      if (message->pid <= 1)
        return set_flaw (error, "a number that is no worker's process");
      break;

    case WP_SERVER_ENDED:
      g_variant_get (content, "(ti)", &message->id, &message->status);
      if (!WIFEXITED (message->status) && !WIFSIGNALED (message->status))
        return set_flaw (error, "the end of a worker with a status that no process ends with");
      break;

    default:
      g_assert_not_reached ();
    }

  return message->id != 0 || set_flaw (error, "a message about no worker");
}

gboolean
wp_server_message_decode (WpServerMessage *message,
                          gconstpointer    data,
                          gsize            size,
                          gboolean         from_server,
                          GError         **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) wire = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) content = NULL;
  guint8 type;

  memset (message, 0, sizeof *message);
  if (size > WP_SERVER_MESSAGE_MAX)
    return set_flaw (error, "a message that is too long");

  bytes = g_bytes_new (data, size);
  wire = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (ENVELOPE), bytes, FALSE));
  if (!g_variant_is_normal_form (wire))
    return set_flaw (error, "bytes that are no message");

  value = swap_to_or_from_wire (wire);
  g_variant_get (value, "(yv)", &type, &content);
  if (type >= G_N_ELEMENTS (content_types))
    return set_flaw (error, "a message of an unknown type");
  if (!g_variant_is_of_type (content, G_VARIANT_TYPE (content_types[type])))
    return set_flaw (error, "a message with the content of another one");
  if ((type >= WP_SERVER_READY) != from_server)
    return set_flaw (error, "a message that is for itself");

  message->type = type;
  return take_content (message, content, error);
}

void
wp_server_message_clear (WpServerMessage *message)
{
  g_clear_pointer (&message->preload, g_strfreev);
  g_clear_pointer (&message->function, g_free);
  g_clear_error (&message->error);
}
