// Chains of convolutions of N small networks on one CPU core, forward and backward.
//
// Why not the library's: grouped convolutions of 3 to 32 channels leave most of a vector register
// empty. Here the images of the batch lie innermost, `[network, channel, row, column, image]`, so a
// register always holds 16 images of one pixel, whatever the number of channels. One network after
// the other goes through the whole chain, so that its activations stay in the second-level cache.
//
// Every product is a "tile": TILE output planes x 2 registers of images, accumulated in registers
// over input planes and kernel positions (taps). The gradient of the input is the same sum with
// the roles of the channels exchanged; the gradient of the weight sums over pixels and images.
//
// Compiled for float and double (REAL), called through ctypes; no exceptions, no library.

namespace {

#if defined(__AVX512F__)
constexpr int BYTES = 64, TILE = 8, GRADIENT_TILE = 8;
#elif defined(__AVX__)
constexpr int BYTES = 32, TILE = 4, GRADIENT_TILE = 4;
#else
constexpr int BYTES = 16, TILE = 4, GRADIENT_TILE = 4;
#endif

constexpr int MOST_TAPS = 256;

// Keeps a value that several products share in a register; GCC would load it for each of them.
#if defined(__AVX__)
#define L2O_KEEP(value) __asm__("" : "+v"(value));
#else
#define L2O_KEEP(value)
#endif

template <typename R, int LANES>
struct Vector {
    typedef R type __attribute__((vector_size(LANES * sizeof(R))));
};
template <typename R>
struct Vector<R, 1> {
    typedef R type;
};

// Copies, not casts: a vector's address needs to be that of an element only.
template <typename V, typename R>
inline V load(const R *at) {
    V value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}
template <typename V, typename R>
inline void store(R *at, V value) {
    __builtin_memcpy(at, &value, sizeof value);
}

// Sum of a vector's elements, half upon half.
template <typename R, int LANES>
struct Sum {
    typedef typename Vector<R, LANES>::type V;
    typedef typename Vector<R, LANES / 2>::type Half;
    static inline R of(V value) {
        Half low, high;
        __builtin_memcpy(&low, &value, sizeof low);
        __builtin_memcpy(&high, reinterpret_cast<const char *>(&value) + sizeof low, sizeof high);
        return Sum<R, LANES / 2>::of(low + high);
    }
};
template <typename R>
struct Sum<R, 1> {
    static inline R of(R value) { return value; }
};

struct Shape {
    long networks, batch, inputs, height, width, outputs, rows, columns;
    long kernel_rows, kernel_columns, stride_rows, stride_columns, pad_rows, pad_columns;
    long dilation_rows, dilation_columns;
    long weight_output, weight_input, weight_row, weight_column;  // strides within one network
};

struct Tap { long source, weight; };  // offset in a source plane, position within the kernel

template <typename R, typename V, int LANES, int REGISTERS, int PLANES>
inline void add(V (&sum)[PLANES][REGISTERS], const R *at, const R *weight) {
    V value[REGISTERS];
    for (int r = 0; r < REGISTERS; ++r) value[r] = load<V>(at + r * LANES);
    for (int p = 0; p < PLANES; ++p)
        for (int r = 0; r < REGISTERS; ++r) sum[p][r] += weight[p] * value[r];
}

// Sum over planes and taps into PLANES destination planes, REGISTERS x LANES images.
template <typename R, int LANES, int REGISTERS, int PLANES>
inline void tile(const R *source, long plane, long planes, const Tap *taps, int count,
                 const R *weight, long kernel, const R *bias, bool rectify, R *out, long out_plane) {
    typedef typename Vector<R, LANES>::type V;
    V sum[PLANES][REGISTERS];
    for (int p = 0; p < PLANES; ++p)
        for (int r = 0; r < REGISTERS; ++r) sum[p][r] = V{} + (bias ? bias[p] : R(0));
    // The longer loop inside.
    if (planes > count) {
        for (int t = 0; t < count; ++t) {
            const R *at = source + taps[t].source, *w = weight + taps[t].weight * TILE;
            for (long c = 0; c < planes; ++c, at += plane, w += kernel * TILE)
                add<R, V, LANES, REGISTERS, PLANES>(sum, at, w);
        }
    } else {
        for (long c = 0; c < planes; ++c, source += plane, weight += kernel * TILE)
            for (int t = 0; t < count; ++t)
                add<R, V, LANES, REGISTERS, PLANES>(sum, source + taps[t].source,
                                                    weight + taps[t].weight * TILE);
    }
    for (int p = 0; p < PLANES; ++p)
        for (int r = 0; r < REGISTERS; ++r) {
            V value = sum[p][r];
            if (rectify) value = value < R(0) ? V{} : value;  // NaN stays NaN
            store<V>(out + p * out_plane + r * LANES, value);
        }
}

template <typename R, int LANES, int REGISTERS>
inline void tile_of(int planes_out, const R *source, long plane, long planes, const Tap *taps,
                    int count, const R *weight, long kernel, const R *bias, bool rectify, R *out,
                    long out_plane) {
#define L2O_TILE(P)                                                                              \
    case P:                                                                                      \
        return tile<R, LANES, REGISTERS, P>(source, plane, planes, taps, count, weight, kernel,  \
                                            bias, rectify, out, out_plane);
    switch (planes_out) {
        L2O_TILE(1) L2O_TILE(2) L2O_TILE(3) L2O_TILE(4)
#if defined(__AVX512F__)
        L2O_TILE(5) L2O_TILE(6) L2O_TILE(7) L2O_TILE(8)
#endif
    }
#undef L2O_TILE
}

// One pixel of some planes, for all images of the batch.
template <typename R>
void pixel(int planes_out, const R *source, long plane, long planes, const Tap *taps, int count,
           const R *weight, long kernel, const R *bias, bool rectify, R *out, long out_plane,
           long batch) {
    constexpr int LANES = BYTES / sizeof(R);
    long b = 0;
    for (; b + 2 * LANES <= batch; b += 2 * LANES)
        tile_of<R, LANES, 2>(planes_out, source + b, plane, planes, taps, count, weight, kernel,
                             bias, rectify, out + b, out_plane);
    for (; b + LANES <= batch; b += LANES)
        tile_of<R, LANES, 1>(planes_out, source + b, plane, planes, taps, count, weight, kernel,
                             bias, rectify, out + b, out_plane);
    for (; b + 2 <= batch; b += 2)
        tile_of<R, 2, 1>(planes_out, source + b, plane, planes, taps, count, weight, kernel, bias,
                         rectify, out + b, out_plane);
    for (; b < batch; ++b)
        tile_of<R, 1, 1>(planes_out, source + b, plane, planes, taps, count, weight, kernel, bias,
                         rectify, out + b, out_plane);
}

// Weights as the tiles read them: [block of TILE destination planes][source plane][tap][TILE].
template <typename R>
void pack(const R *weight, R *packed, long destinations, long sources, long to, long from,
          const Shape &s) {
    for (long first = 0; first < destinations; first += TILE)
        for (long c = 0; c < sources; ++c)
            for (long y = 0; y < s.kernel_rows; ++y)
                for (long x = 0; x < s.kernel_columns; ++x)
                    for (long p = 0; p < TILE; ++p)
                        *packed++ = first + p < destinations
                                        ? weight[(first + p) * to + c * from + y * s.weight_row +
                                                 x * s.weight_column]
                                        : R(0);
}

template <typename R>
void forward_one(const R *in, const R *packed, const R *bias, R *out, bool rectify, const Shape &s) {
    const long plane = s.height * s.width * s.batch, out_plane = s.rows * s.columns * s.batch;
    const long kernel = s.kernel_rows * s.kernel_columns;
    Tap taps[MOST_TAPS];
    for (long y = 0; y < s.rows; ++y)
        for (long x = 0; x < s.columns; ++x) {
            int count = 0;
            for (long ky = 0; ky < s.kernel_rows; ++ky) {
                const long iy = y * s.stride_rows - s.pad_rows + ky * s.dilation_rows;
                if (iy < 0 || iy >= s.height) continue;
                for (long kx = 0; kx < s.kernel_columns; ++kx) {
                    const long ix = x * s.stride_columns - s.pad_columns + kx * s.dilation_columns;
                    if (ix < 0 || ix >= s.width) continue;
                    taps[count++] = {(iy * s.width + ix) * s.batch, ky * s.kernel_columns + kx};
                }
            }
            for (long first = 0; first < s.outputs; first += TILE) {
                const int wide = int(s.outputs - first < TILE ? s.outputs - first : TILE);
                pixel<R>(wide, in, plane, s.inputs, taps, count, packed + first * s.inputs * kernel,
                         kernel, bias ? bias + first : nullptr, rectify,
                         out + first * out_plane + (y * s.columns + x) * s.batch, out_plane, s.batch);
            }
        }
}

// Kernel positions that take input position `at` to an output position, and which.
inline int reaching(long at, long kernel, long stride, long pad, long dilation, long outputs,
                    long *position, long *output) {
    int count = 0;
    for (long k = 0; k < kernel; ++k) {
        const long shifted = at + pad - k * dilation;
        if (shifted < 0 || shifted % stride || shifted / stride >= outputs) continue;
        position[count] = k;
        output[count++] = shifted / stride;
    }
    return count;
}

template <typename R>
void input_gradient_one(const R *gradient, const R *packed, R *out, const Shape &s) {
    const long plane = s.rows * s.columns * s.batch, out_plane = s.height * s.width * s.batch;
    const long kernel = s.kernel_rows * s.kernel_columns;
    long ky[MOST_TAPS], oy[MOST_TAPS], kx[MOST_TAPS], ox[MOST_TAPS];
    Tap taps[MOST_TAPS];
    for (long y = 0; y < s.height; ++y) {
        const int in_rows = reaching(y, s.kernel_rows, s.stride_rows, s.pad_rows, s.dilation_rows,
                                     s.rows, ky, oy);
        for (long x = 0; x < s.width; ++x) {
            const int in_columns = reaching(x, s.kernel_columns, s.stride_columns, s.pad_columns,
                                            s.dilation_columns, s.columns, kx, ox);
            int count = 0;
            for (int i = 0; i < in_rows; ++i)
                for (int j = 0; j < in_columns; ++j)
                    taps[count++] = {(oy[i] * s.columns + ox[j]) * s.batch,
                                     ky[i] * s.kernel_columns + kx[j]};
            for (long first = 0; first < s.inputs; first += TILE) {
                const int wide = int(s.inputs - first < TILE ? s.inputs - first : TILE);
                pixel<R>(wide, gradient, plane, s.outputs, taps, count,
                         packed + first * s.outputs * kernel, kernel, nullptr, false,
                         out + first * out_plane + (y * s.width + x) * s.batch, out_plane, s.batch);
            }
        }
    }
}

// Sum over a rectangle of pixels: GRADIENT_TILE x IN entries of one kernel position.
//
// The gradient is in blocks, `[row, column, images / LANES, GRADIENT_TILE, LANES]`: planes lie a
// power of two apart, where they would push each other out of the first-level cache.
template <typename R, int LANES, int IN>
inline void correlate(const R *gradient, long row, long pixel, const R *in, long in_plane,
                      long in_row, long in_column, long rows, long columns,
                      R (*out)[GRADIENT_TILE][IN]) {
    typedef typename Vector<R, LANES>::type V;
    V sum[GRADIENT_TILE][IN];
    for (int o = 0; o < GRADIENT_TILE; ++o)
        for (int i = 0; i < IN; ++i) sum[o][i] = V{};
    for (long y = 0; y < rows; ++y)
        for (long x = 0; x < columns; ++x) {
            const R *g = gradient + y * row + x * pixel, *end = g + pixel;
            const R *a = in + y * in_row + x * in_column;
            for (; g != end; g += GRADIENT_TILE * LANES, a += LANES) {
                V value[IN];
                for (int i = 0; i < IN; ++i) value[i] = load<V>(a + i * in_plane);
                for (int o = 0; o < GRADIENT_TILE; ++o) {
                    V slope = load<V>(g + o * LANES);
                    L2O_KEEP(slope)
                    for (int i = 0; i < IN; ++i) sum[o][i] += slope * value[i];
                }
            }
        }
    for (int o = 0; o < GRADIENT_TILE; ++o)
        for (int i = 0; i < IN; ++i) (*out)[o][i] = Sum<R, LANES>::of(sum[o][i]);
}

// Bounds [first, last) of output positions whose input position, under one tap, exists.
inline void bounds(long offset, long stride, long inputs, long outputs, long *first, long *last) {
    *first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    const long room = inputs - 1 - offset;
    *last = room < 0 ? 0 : room / stride + 1;
    if (*last > outputs) *last = outputs;
}

// Gradient of the weight, IN input planes from `i` on, one block of output planes from `o` on.
template <typename R, int LANES, int IN>
void weight_gradient_tile(const R *gradient, const R *in, long o, long i, R *out, const Shape &s,
                          long images) {
    const long in_plane = s.height * s.width * s.batch, pixel = images * GRADIENT_TILE;
    const long outputs = s.outputs - o < GRADIENT_TILE ? s.outputs - o : GRADIENT_TILE;
    for (long ky = 0; ky < s.kernel_rows; ++ky) {
        const long dy = ky * s.dilation_rows - s.pad_rows;
        long top, bottom;
        bounds(dy, s.stride_rows, s.height, s.rows, &top, &bottom);
        for (long kx = 0; kx < s.kernel_columns; ++kx) {
            const long dx = kx * s.dilation_columns - s.pad_columns;
            long left, right;
            bounds(dx, s.stride_columns, s.width, s.columns, &left, &right);
            if (top >= bottom || left >= right) continue;
            R sums[GRADIENT_TILE][IN];
            correlate<R, LANES, IN>(
                gradient + (top * s.columns + left) * pixel, s.columns * pixel, pixel,
                in + i * in_plane +
                    ((top * s.stride_rows + dy) * s.width + left * s.stride_columns + dx) * s.batch,
                in_plane, s.stride_rows * s.width * s.batch, s.stride_columns * s.batch,
                bottom - top, right - left, &sums);
            for (long a = 0; a < outputs; ++a)
                for (long b = 0; b < IN; ++b)
                    out[(o + a) * s.weight_output + (i + b) * s.weight_input + ky * s.weight_row +
                        kx * s.weight_column] += sums[a][b];
        }
    }
}

template <typename R, int LANES>
void weight_gradient(const R *gradient, const R *in, long o, R *out, const Shape &s, long images) {
    for (long i = 0; i < s.inputs;) {
        const long left = s.inputs - i;
        if (left == 1) {
            weight_gradient_tile<R, LANES, 1>(gradient, in, o, i, out, s, images);
            i += 1;
        } else if (left == 2 || left == 4) {
            weight_gradient_tile<R, LANES, 2>(gradient, in, o, i, out, s, images);
            i += 2;
        } else {
            weight_gradient_tile<R, LANES, 3>(gradient, in, o, i, out, s, images);
            i += 3;
        }
    }
}

// The gradient before the rectifier for some images of one block of planes: as a block, as planes
// where those are wanted, and its sums over pixels and images.
template <typename R, int LANES>
void pack_gradient(const R *gradient, const R *out, R *masked, R *block, R *sums, long outputs,
                   const Shape &s, long images) {
    typedef typename Vector<R, LANES>::type V;
    const long pixels = s.rows * s.columns, plane = pixels * s.batch;
    V sum[GRADIENT_TILE] = {};
    for (long n = 0; n < pixels; ++n)
        for (long b = 0; b < images; b += LANES)
            for (long o = 0; o < GRADIENT_TILE; ++o, block += LANES) {
                V value = V{};
                if (o < outputs) {
                    const long at = o * plane + n * s.batch + b;
                    value = load<V>(gradient + at);
                    if (out) value = load<V>(out + at) <= R(0) ? V{} : value;
                    if (masked) store<V>(masked + at, value);
                    sum[o] += value;
                }
                store<V>(block, value);
            }
    for (long o = 0; sums && o < outputs; ++o) sums[o] += Sum<R, LANES>::of(sum[o]);
}

template <typename R>
void backward_one(const R *in, const R *out, const R *gradient, R *weight_gradients, R *bias,
                  R *masked, R *block, const Shape &s) {
    constexpr int LANES = BYTES / sizeof(R);
    const long plane = s.rows * s.columns * s.batch, whole = s.batch / LANES * LANES;
    for (long o = 0; o < s.outputs; o += GRADIENT_TILE) {
        const long at = o * plane, left = s.outputs - o;
        const long outputs = left < GRADIENT_TILE ? left : GRADIENT_TILE;
        if (whole) {
            pack_gradient<R, LANES>(gradient + at, out ? out + at : nullptr,
                                    masked ? masked + at : nullptr, block, bias ? bias + o : nullptr,
                                    outputs, s, whole);
            weight_gradient<R, LANES>(block, in, o, weight_gradients, s, whole);
        }
        if (whole < s.batch) {
            pack_gradient<R, 1>(gradient + at + whole, out ? out + at + whole : nullptr,
                                masked ? masked + at + whole : nullptr, block,
                                bias ? bias + o : nullptr, outputs, s, s.batch - whole);
            weight_gradient<R, 1>(block, in + whole, o, weight_gradients, s, s.batch - whole);
        }
    }
}

struct Layer {
    Shape shape;
    const void *weight, *bias;
    void *out, *weight_gradient, *bias_gradient;
    long rectify;
};

inline long in_size(const Shape &s) { return s.inputs * s.height * s.width * s.batch; }
inline long out_size(const Shape &s) { return s.outputs * s.rows * s.columns * s.batch; }
inline long weight_size(const Shape &s) {
    return s.outputs * s.inputs * s.kernel_rows * s.kernel_columns;
}

// Elements of one network's largest activation, and of the largest workspace of one layer.
inline void sizes(const Layer *layers, long count, long *activation, long *work) {
    *activation = *work = 0;
    for (long l = 0; l < count; ++l) {
        const Shape &s = layers[l].shape;
        const long taps = s.kernel_rows * s.kernel_columns;
        const long outputs = (s.outputs + TILE - 1) / TILE * TILE * s.inputs * taps;
        const long inputs = (s.inputs + TILE - 1) / TILE * TILE * s.outputs * taps;
        const long needed = (s.outputs + GRADIENT_TILE) * s.rows * s.columns * s.batch +
                            (outputs > inputs ? outputs : inputs);
        if (needed > *work) *work = needed;
        if (in_size(s) > *activation) *activation = in_size(s);
        if (out_size(s) > *activation) *activation = out_size(s);
    }
}

// Layers without a place for their output leave it in the scratch until the next has read it.
template <typename R>
void forward(const R *in, const Layer *layers, long count, R *scratch, long first, long last) {
    long activation, work;
    sizes(layers, count, &activation, &work);
    R *passing[2] = {scratch + work, scratch + work + activation};
    for (long n = first; n < last; ++n) {
        const R *from = in + n * in_size(layers[0].shape);
        for (long l = 0; l < count; ++l) {
            const Layer &layer = layers[l];
            const Shape &s = layer.shape;
            const R *bias = static_cast<const R *>(layer.bias);
            R *kept = static_cast<R *>(layer.out);
            R *to = kept ? kept + n * out_size(s) : passing[l % 2];
            pack<R>(static_cast<const R *>(layer.weight) + n * weight_size(s), scratch, s.outputs,
                    s.inputs, s.weight_output, s.weight_input, s);
            forward_one<R>(from, scratch, bias ? bias + n * s.outputs : nullptr, to,
                           layer.rectify != 0, s);
            from = to;
        }
    }
}

template <typename R>
void backward(const R *in, const Layer *layers, long count, const R *gradient, R *in_gradient,
              R *scratch, long first, long last) {
    long activation, work;
    sizes(layers, count, &activation, &work);
    R *passing[2] = {scratch + work, scratch + work + activation};
    for (long n = first; n < last; ++n) {
        const R *slope = gradient + n * out_size(layers[count - 1].shape);
        for (long l = count - 1; l >= 0; --l) {
            const Layer &layer = layers[l];
            const Shape &s = layer.shape;
            const R *from = l ? static_cast<const R *>(layers[l - 1].out) : in;
            const R *out = layer.rectify ? static_cast<const R *>(layer.out) : nullptr;
            R *weights = static_cast<R *>(layer.weight_gradient) + n * weight_size(s);
            R *bias = static_cast<R *>(layer.bias_gradient);
            R *to = l ? passing[l % 2] : in_gradient ? in_gradient + n * in_size(s) : nullptr;
            R *masked = to ? scratch : nullptr, *block = scratch + out_size(s);
            R *packed = block + GRADIENT_TILE * s.rows * s.columns * s.batch;
            if (bias) bias += n * s.outputs;
            for (long i = 0; i < weight_size(s); ++i) weights[i] = R(0);
            for (long i = 0; bias && i < s.outputs; ++i) bias[i] = R(0);
            backward_one<R>(from + n * in_size(s), out ? out + n * out_size(s) : nullptr, slope,
                            weights, bias, masked, block, s);
            if (!to) continue;
            pack<R>(static_cast<const R *>(layer.weight) + n * weight_size(s), packed, s.inputs,
                    s.outputs, s.weight_input, s.weight_output, s);
            input_gradient_one<R>(masked, packed, to, s);
            slope = to;
        }
    }
}

// Images of N batches, images innermost: out[n, pixel, b] = pool[rows[b, n], pixel].
template <typename R>
void gather(const R *pool, const long *rows, R *out, long networks, long batch, long pixels) {
    for (long n = 0; n < networks; ++n, out += pixels * batch)
        for (long first = 0; first < batch; first += 16) {
            const long images = batch - first < 16 ? batch - first : 16;
            const R *image[16];
            for (long b = 0; b < images; ++b)
                image[b] = pool + rows[(first + b) * networks + n] * pixels;
            for (long p = 0; p < pixels; ++p)
                for (long b = 0; b < images; ++b) out[p * batch + first + b] = image[b][p];
        }
}

}  // namespace

// Elements that `scratch` must have.
extern "C" long l2o_scratch(const Layer *layers, long count) {
    long activation, work;
    sizes(layers, count, &activation, &work);
    return work + 2 * activation;
}

// Networks from `first` to before `last`; threads take shares of them, each with its own scratch.
#define L2O_EXPORT(R, NAME)                                                                     \
    extern "C" void l2o_forward_##NAME(const R *in, const Layer *layers, long count,            \
                                       R *scratch, long first, long last) {                     \
        forward<R>(in, layers, count, scratch, first, last);                                    \
    }                                                                                           \
    extern "C" void l2o_backward_##NAME(const R *in, const Layer *layers, long count,           \
                                        const R *gradient, R *in_gradient, R *scratch,          \
                                        long first, long last) {                                \
        backward<R>(in, layers, count, gradient, in_gradient, scratch, first, last);            \
    }                                                                                           \
    extern "C" void l2o_gather_##NAME(const R *pool, const long *rows, R *out, long networks,   \
                                      long batch, long pixels) {                                \
        gather<R>(pool, rows, out, networks, batch, pixels);                                    \
    }

L2O_EXPORT(float, float)
L2O_EXPORT(double, double)
