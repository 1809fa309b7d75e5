using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The strips of efficient local attention, of one block of channels: for each channel the H values of the rows and the W values of the
/// columns, with the padding of the convolution around both, so that both are convolved in one run.
/// <code>| padding | H | padding | W | padding and room for a vector |</code>
/// What is between the values is zero in the inputs of convolutions and of no account elsewhere.
/// </summary>
internal readonly unsafe struct AttentionStrips<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly LocalAttentionSizes _sizes;
    private readonly float* _weight;
    private readonly float* _scale;
    private readonly float* _bias;

    public AttentionStrips(in LocalAttentionSizes sizes, float* weight, float* scale, float* bias)
    {
        _sizes = sizes;
        _weight = weight;
        _scale = scale;
        _bias = bias;
        BlockChannels = sizes.BlockChannels;
        Padding = sizes.Kernel / 2;
        Columns = Padding + sizes.Height + Padding;
        Run = Rounded(sizes.Height + Padding + Rounded(sizes.Width));
        Pitch = Run + (2 * Padding) + TSimd.Width;
    }

    public int BlockChannels { get; }

    public int Padding { get; }

    /// <summary>Where the values of the rows begin.</summary>
    public int Rows => Padding;

    /// <summary>Where the values of the columns begin.</summary>
    public int Columns { get; }

    /// <summary>The length from the first row to the end of the last vector of columns, in whole vectors.</summary>
    public int Run { get; }

    /// <summary>The room of one channel.</summary>
    public int Pitch { get; }

    /// <summary>The room of the channels of a block.</summary>
    public long BlockSize => (long)BlockChannels * Pitch;

    /// <summary>The normalisation groups of a block, of which each has statistics of rows and of columns.</summary>
    public int NormGroups => BlockChannels / _sizes.ChannelsPerNormGroup;

    /// <summary>The room of the masks.</summary>
    public int MaskSize => Rounded(_sizes.Height) + Rounded(_sizes.Width);

    /// <summary>Ones for the H rows and, from <see cref="ColumnMask"/> on, for the W columns, each followed by zeros to whole vectors.</summary>
    public void FillMasks(float* masks)
    {
        new Span<float>(masks, MaskSize).Clear();
        new Span<float>(masks, _sizes.Height).Fill(1);
        new Span<float>(ColumnMask(masks), _sizes.Width).Fill(1);
    }

    public float* ColumnMask(float* masks) => masks + Rounded(_sizes.Height);

    /// <summary>Zeros whatever is not a value.</summary>
    public void ClearPadding(float* strip)
    {
        new Span<float>(strip, Padding).Clear();
        new Span<float>(strip + Rows + _sizes.Height, Padding).Clear();
        new Span<float>(strip + Columns + _sizes.Width, Pitch - Columns - _sizes.Width).Clear();
    }

    /// <summary>The means of a plane's rows and columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Means(float* plane, float* masks, float* strip)
    {
        var rows = strip + Rows;
        var columns = strip + Columns;
        var mask = ColumnMask(masks);
        new Span<float>(strip, Pitch).Clear();
        long rest = _sizes.PlaneSize;
        for (var y = 0; y < _sizes.Height; y++, plane += _sizes.Width, rest -= _sizes.Width)
        {
            var sum = default(TVector);
            for (var x = 0; x < _sizes.Width; x += TSimd.Width)
            {
                // Vectors reach into the next row, whose part the mask takes out of the row and nobody reads of the columns.
                var value = Lanes<TVector, TSimd>.Load(plane + x, rest - x);
                sum = TSimd.MultiplyAdd(value, TSimd.Load(mask + x), sum);
                TSimd.Store(TSimd.Add(TSimd.Load(columns + x), value), columns + x);
            }
            rows[y] = TSimd.Sum(sum) / _sizes.Width;
        }
        var factor = TSimd.Broadcast(1f / _sizes.Height);
        for (var x = 0; x < _sizes.Width; x += TSimd.Width)
            TSimd.Store(TSimd.Multiply(TSimd.Load(columns + x), factor), columns + x);
        ClearPadding(strip);
    }

    /// <summary>Convolves the strips of a block whose first channel is <paramref name="first"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Convolve(float* strips, int first, float* results)
    {
        var (inputs, taps) = (_sizes.ChannelsPerGroup, _sizes.Kernel);
        for (var channel = 0; channel < BlockChannels; channel++)
        {
            var weight = _weight + ((long)(first + channel) * inputs * taps);
            var group = strips + ((long)(channel / inputs) * inputs * Pitch);
            for (var i = 0; i < Run; i += TSimd.Width)
            {
                var sum = default(TVector);
                var source = group + i;
                var factor = weight;
                for (var input = 0; input < inputs; input++, source += Pitch)
                {
                    for (var tap = 0; tap < taps; tap++)
                        sum = TSimd.MultiplyAdd(TSimd.Broadcast(*factor++), TSimd.Load(source + tap), sum);
                }
                TSimd.Store(sum, results + ((long)channel * Pitch) + Padding + i);
            }
        }
    }

    /// <summary>The gradient of <see cref="Convolve"/> with respect to the strips.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void ConvolveBack(float* gradients, int first, float* results)
    {
        var (inputs, taps) = (_sizes.ChannelsPerGroup, _sizes.Kernel);
        for (var channel = 0; channel < BlockChannels; channel++)
        {
            var firstOutput = channel / inputs * inputs;
            var weight = _weight + ((((long)(first + firstOutput) * inputs) + (channel - firstOutput)) * taps);
            var group = gradients + ((long)firstOutput * Pitch);
            for (var i = 0; i < Run; i += TSimd.Width)
            {
                var sum = default(TVector);
                var source = group + i + taps - 1;
                var factor = weight;
                for (var output = 0; output < inputs; output++, source += Pitch, factor += inputs * taps)
                {
                    for (var tap = 0; tap < taps; tap++)
                        sum = TSimd.MultiplyAdd(TSimd.Broadcast(factor[tap]), TSimd.Load(source - tap), sum);
                }
                TSimd.Store(sum, results + ((long)channel * Pitch) + Padding + i);
            }
        }
    }

    /// <summary>Normalises the strips of a block; also gives what they were multiplied by, [groups, 2].</summary>
    public void Normalize(float* strips, float* masks, float* normalized, float* inverses)
    {
        for (var group = 0; group < NormGroups; group++)
        {
            var start = (long)group * _sizes.ChannelsPerNormGroup * Pitch;
            // Whole vectors are written: those of the rows reach into the columns, which come later.
            inverses[2 * group] = Normalize(strips + start + Rows, _sizes.Height, masks, normalized + start + Rows);
            inverses[(2 * group) + 1] =
                Normalize(strips + start + Columns, _sizes.Width, ColumnMask(masks), normalized + start + Columns);
        }
    }

    /// <summary>The gates of a block from its normalised strips; whatever is not a value becomes zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Gates(float* normalized, int first, float* gates)
    {
        var (one, zero) = (TSimd.Broadcast(1), default(TVector));
        for (var channel = 0; channel < BlockChannels; channel++, normalized += Pitch, gates += Pitch)
        {
            var (scale, bias) = (TSimd.Broadcast(_scale[first + channel]), TSimd.Broadcast(_bias[first + channel]));
            for (var i = Padding; i < Padding + Run; i += TSimd.Width)
            {
                var value = TSimd.MultiplyAdd(TSimd.Load(normalized + i), scale, bias);
                TSimd.Store(TSimd.Divide(one, TSimd.Add(one, TSimd.Exp(TSimd.Subtract(zero, value)))), gates + i);
            }
            ClearPadding(gates);
        }
    }

    // Rows or columns of one group, all channels, with zero in the mask behind them.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private float Normalize(float* values, int length, float* mask, float* normalized)
    {
        var count = (float)length * _sizes.ChannelsPerNormGroup;
        var sum = default(TVector);
        for (var channel = 0; channel < _sizes.ChannelsPerNormGroup; channel++)
        {
            for (var i = 0; i < length; i += TSimd.Width)
                sum = TSimd.MultiplyAdd(TSimd.Load(values + ((long)channel * Pitch) + i), TSimd.Load(mask + i), sum);
        }
        var mean = TSimd.Broadcast(TSimd.Sum(sum) / count);
        var squares = default(TVector);
        for (var channel = 0; channel < _sizes.ChannelsPerNormGroup; channel++)
        {
            for (var i = 0; i < length; i += TSimd.Width)
            {
                var centered = TSimd.Subtract(TSimd.Load(values + ((long)channel * Pitch) + i), mean);
                squares = TSimd.MultiplyAdd(TSimd.Multiply(centered, TSimd.Load(mask + i)), centered, squares);
            }
        }
        var inverse = 1 / MathF.Sqrt((TSimd.Sum(squares) / count) + _sizes.Epsilon);
        var factor = TSimd.Broadcast(inverse);
        for (var channel = 0; channel < _sizes.ChannelsPerNormGroup; channel++)
        {
            var source = values + ((long)channel * Pitch);
            var target = normalized + ((long)channel * Pitch);
            for (var i = 0; i < length; i += TSimd.Width)
                TSimd.Store(TSimd.Multiply(TSimd.Subtract(TSimd.Load(source + i), mean), factor), target + i);
        }
        return inverse;
    }

    private static int Rounded(int length) => (length + TSimd.Width - 1) / TSimd.Width * TSimd.Width;
}
