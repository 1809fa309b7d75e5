using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The columns of a map [N, H, W, C] as raft-token mixing sees them: matrices [r H, C / r], whose row g H + y is group g of position y,
/// filled up with zeros to whole vectors.
/// </summary>
internal unsafe struct RaftColumn<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    public long Batch;
    public int Height;
    public int Width;
    public int Channels;
    public int RaftSize;
    public float Epsilon;

    private float* _scale;
    private float* _bias;

    /// <exception cref="KernelException">The raft size does not divide the channels.</exception>
    public static RaftColumn<TVector, TSimd> Of(KernelInput map, int raftSize, float epsilon)
    {
        var dims = map.Expect("[N, H, W, C]", -1, -1, -1, -1).Shape.Dims;
        if (dims[3] % raftSize != 0)
            throw new KernelException($"attribute 'raft_size' is {raftSize}, expected a divisor of the {dims[3]} channels");
        return new()
        {
            Batch = dims[0], Height = (int)dims[1], Width = (int)dims[2], Channels = (int)dims[3], RaftSize = raftSize, Epsilon = epsilon,
        };
    }

    /// <summary>The parameters of the normalisation in the order of channels.</summary>
    public readonly float* Scale => _scale;

    /// <summary>The channels of a group.</summary>
    public readonly int GroupWidth => Channels / RaftSize;

    /// <summary>Rows of the matrix.</summary>
    public readonly int Mixed => RaftSize * Height;

    /// <summary>Columns of the matrix: the channels of a group, filled up to whole vectors.</summary>
    public readonly int Columns => Whole(GroupWidth);

    public readonly int Count => (int)(Batch * Width);

    /// <summary>Elements from one position to the next.</summary>
    public readonly long Pitch => (long)Width * Channels;

    /// <summary>Rows of a matrix, filled up to whole tiles.</summary>
    public static int Rows(int count)
    {
        const int unit = TileProduct<float, TVector, TSimd>.RowUnit;
        return (count + unit - 1) / unit * unit;
    }

    /// <summary>Elements, filled up to whole vectors.</summary>
    public static int Whole(int count) => (count + TSimd.Width - 1) / TSimd.Width * TSimd.Width;

    /// <summary>The first element of a column in the map.</summary>
    public readonly long Start(int index)
    {
        var (example, column) = Math.DivRem(index, Width);
        return (((long)example * Height * Width) + column) * Channels;
    }

    /// <summary>The number, in the order of rafts, of a channel.</summary>
    public readonly int Raft(int channel) => (channel % GroupWidth * RaftSize) + (channel / GroupWidth);

    public void Take(ref Partition memory)
    {
        _scale = memory.Take<float>(Channels);
        _bias = memory.Take<float>(Channels);
    }

    /// <summary>Takes the parameters of the normalisation, which are in the order of rafts.</summary>
    public readonly void Prepare(float* scale, float* bias)
    {
        for (var channel = 0; channel < Channels; channel++)
        {
            _scale[channel] = scale[Raft(channel)];
            _bias[channel] = bias[Raft(channel)];
        }
    }

    /// <summary>Mean and 1 / deviation of a position.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly (float Mean, float Inverse) Statistics(float* x)
    {
        TVector sum = default, squares = default;
        for (var c = 0; c < Channels; c += TSimd.Width)
            sum = TSimd.Add(sum, Lanes<TVector, TSimd>.Load(x + c, Channels - c));
        var mean = TSimd.Sum(sum) / Channels;
        for (var c = 0; c < Channels; c += TSimd.Width)
        {
            var centered = Lanes<TVector, TSimd>.First(
                TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + c, Channels - c), TSimd.Broadcast(mean)), Channels - c);
            squares = TSimd.MultiplyAdd(centered, centered, squares);
        }
        return (mean, 1 / MathF.Sqrt((TSimd.Sum(squares) / Channels) + Epsilon));
    }

    /// <summary>Writes the normalised elements of a position to its rows, every <see cref="Height"/>-th one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Normalize(float* x, float* rows)
    {
        var statistics = Statistics(x);
        var (mean, inverse) = (TSimd.Broadcast(statistics.Mean), TSimd.Broadcast(statistics.Inverse));
        for (var g = 0; g < RaftSize; g++)
        {
            var row = rows + ((long)g * Height * Columns);
            var start = g * GroupWidth;
            for (var j = 0; j < GroupWidth; j += TSimd.Width)
            {
                var rest = GroupWidth - j;
                var value = TSimd.Multiply(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + start + j, rest), mean), inverse);
                // Behind the group scale and bias are read as zeros, and so is what is stored there.
                var scale = Lanes<TVector, TSimd>.Load(_scale + start + j, rest);
                var bias = Lanes<TVector, TSimd>.Load(_bias + start + j, rest);
                TSimd.Store(TSimd.MultiplyAdd(value, scale, bias), row + j);
            }
        }
    }
}
