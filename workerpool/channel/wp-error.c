/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-error.h"

/**
 * wp_error_quark:
 *
 * Gets the error domain of the library's own errors, `WP_ERROR`.
 *
 * This may be called in any thread.
 *
 * Returns: the quark
 *
 * Since: 1.0
 */
/* clang-format off: it would write a subtraction, which G_DEFINE_QUARK makes the name of the domain. */
G_DEFINE_QUARK (wp-error-quark, wp_error)
/* clang-format on */
