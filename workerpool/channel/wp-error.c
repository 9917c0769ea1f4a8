/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-error.h"

/**
 * wp_error_quark:
 *
 * Gets the error domain of the library's own errors.
 *
 * Returns: the quark behind %WP_ERROR
 *
 * Since: 1.0
 */
G_DEFINE_QUARK (wp-error-quark, wp_error)
