/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A payload is a run of records, read front to back: the values of a chunk's tasks, or their
 * results. Records, and not a table in front of the values, so that a worker can append a result
 * and commit it with one atomic store: what was committed survives kill -9 (wp-board.h).
 *
 *   u32  length of the value, or G_MAXUINT32 when a u64 length follows the type
 *   u16  length of the type string; 0: the type of the record before; 1: type_char is it
 *   u8   flags: WP_RECORD_ERROR
 *   u8   type_char
 *   type string, NUL, padded to 8     (when its length is above 1)
 *   u64 length                        (when length is G_MAXUINT32)
 *   the value, serialised as GVariant does (little-endian), 8-aligned, padded to 8
 *
 * A failed task's value has the type "(sis)": error domain, code, message.
 * This file is pure: it does no I/O.
 */
#define WP_RECORD_ERROR_TYPE "(sis)"

/* A value of at least this many bytes is referenced by the writer instead of being copied, and
 * a payload of at least this many travels as shared memory instead of through the socket. */
#define WP_PAYLOAD_LARGE (64u * 1024)

/* The longest type string: a chunk of types may not exhaust the receiver. */
#define WP_PAYLOAD_MAX_TYPE 4096

typedef struct _WpPayloadWriter WpPayloadWriter;

WpPayloadWriter *wp_payload_writer_new       (void);
void             wp_payload_writer_free      (WpPayloadWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpPayloadWriter, wp_payload_writer_free)

/* What an error record holds: the message is made valid UTF-8 and cut, so that the record fits the
 * board.
 * Returns: (transfer full): never floating */
GVariant        *wp_payload_new_error        (const GError *error);

/* value: not floating, without a flaw (the caller's duty; wp-value.h). Large values are
 * referenced. */
void             wp_payload_writer_add       (WpPayloadWriter *writer, GVariant *value);
void             wp_payload_writer_add_error (WpPayloadWriter *writer, const GError *error);
/* n consecutive values of one fixed-size type, 'stride' bytes each, as in a GVariant array. */
void             wp_payload_writer_add_fixed (WpPayloadWriter    *writer,
                                              const GVariantType *type,
                                              gconstpointer       values,
                                              gsize               stride,
                                              guint               n);
gsize            wp_payload_writer_get_size  (WpPayloadWriter *writer);
/* The bytes, as one or more segments to be sent one after the other (their sum is a multiple of 8);
 * the writer is empty afterwards. Never an empty array.
 * Returns: (transfer full) (element-type GBytes) */
GPtrArray       *wp_payload_writer_finish    (WpPayloadWriter *writer);

/* Appends one record at buffer (8-aligned), for a caller that owns the memory (the board). type: the
 * value's; same_type_before: the record before in the same payload has it too. Returns the bytes
 * written, or 0 when the record would not fit in 'space' (nothing useful has been written then). */
gsize            wp_payload_store            (guint8     *buffer,
                                              gsize       space,
                                              const char *type,
                                              gboolean    same_type_before,
                                              GVariant   *value,
                                              gboolean    is_error);

typedef struct
{
  const char *type;     /* NUL-terminated, valid and definite; interned or inside the reader */
  gconstpointer value;  /* 8-aligned */
  gsize length;
  gboolean is_error;
} WpRecord;

typedef struct
{
  /*< private >*/
  GBytes *bytes;
  const guint8 *data;
  gsize size;
  gsize position;
  const char *type;
  gsize fixed_size; /* of type; 0 when variable */
  gboolean trusted;
} WpPayloadReader;

/* trusted: the records were written by our own side, values need no check; bounds are checked in any
 * case. Keeps a reference. */
void      wp_payload_reader_init      (WpPayloadReader *reader, GBytes *bytes, gboolean trusted);
void      wp_payload_reader_clear     (WpPayloadReader *reader);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (WpPayloadReader, wp_payload_reader_clear)
/* TRUE: *record is the next one, fully checked when the payload is not trusted: bounds, type
 * string, and that the value is in normal form. FALSE without error: the end.
 * FALSE with WP_ERROR_PROTOCOL: malformed. */
gboolean  wp_payload_reader_next      (WpPayloadReader *reader, WpRecord *record, GError **error);
/* After next () gave *record: when that is a number, passes over the numbers of its type that follow, at
 * most 'most', and returns how many. The i-th of them, from 1, is i * WP_RECORD_NUMBER_STRIDE bytes behind
 * record->value. A number costs a comparison this way, and 80 instructions by next (). */
#define WP_RECORD_NUMBER_STRIDE 16
guint     wp_payload_reader_skip_numbers (WpPayloadReader *reader,
                                          const WpRecord  *record,
                                          guint            most);
/* The records that follow as a payload of their own, which shares the memory; NULL when the next one has its type from
 * the one before. (transfer full) (nullable) */
GBytes   *wp_payload_reader_get_rest  (WpPayloadReader *reader);
/* Counts and checks all records without building values; FALSE with WP_ERROR_PROTOCOL. */
gboolean  wp_payload_validate         (GBytes *bytes, guint *n_records, GError **error);

/* The record last read as a value that shares the payload's memory (small ones are copied).
 * Returns: (transfer full): never floating */
GVariant *wp_payload_reader_get_value (WpPayloadReader *reader, const WpRecord *record);
/* The same for an error record. An unknown domain is kept as long as it looks like one and the
 * process has not taken too many new ones from workers; otherwise WP_ERROR_FAILED. */
GError   *wp_payload_reader_get_error (WpPayloadReader *reader, const WpRecord *record);

G_END_DECLS
