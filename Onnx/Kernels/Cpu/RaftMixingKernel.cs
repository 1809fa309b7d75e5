using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Raft-token mixing, a column of the map at a time: its normalised elements are the matrix [r H, C / r], which the weights multiply from
/// the left, so that nothing is transposed and the hidden layer of one column stays in the cache.
/// </summary>
internal sealed unsafe class RaftMixingKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly int _raftSize = attributes.PositiveInt("raft_size");
    private readonly float _epsilon = attributes.Float("epsilon");

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, H, W, C]", -1, -1, -1, -1);
        var (batch, height, width, channels) = (x.Shape.Dims[0], (int)x.Shape.Dims[1], (int)x.Shape.Dims[2], (int)x.Shape.Dims[3]);
        if (channels % _raftSize != 0)
            throw new KernelException($"attribute 'raft_size' is {_raftSize}, expected a divisor of the {channels} channels");
        var mixed = _raftSize * height;
        var weight1 = context.Input(3).Expect("[D, r H]", -1, mixed);
        var hidden = (int)weight1.Shape.Dims[0];
        var keep = context.Input(7);
        if (keep.Shape.ElementCount != 1 && keep.Shape.ElementCount != batch)
            throw new KernelException($"input 'keep' has shape {keep.Shape}, expected one number or {batch}, one for each example");
        var work = new Work
        {
            X = x.Data<float>(),
            Y = context.Output<float>(0, x.Shape.Dims),
            Bias1 = context.Input(4).Expect("[D]", hidden).Data<float>(),
            Bias2 = context.Input(6).Expect("[r H]", mixed).Data<float>(),
            Keep = keep.Data<float>(),
            KeepStep = keep.Shape.ElementCount == 1 ? 0 : 1,
            Height = height,
            Width = width,
            Channels = channels,
            RaftSize = _raftSize,
            Hidden = hidden,
            Epsilon = _epsilon,
        };
        var sizes = new Partition(null);
        work.Take(ref sizes);
        using var memory = context.Allocate(sizes.Bytes);
        var shared = new Partition(memory.Data);
        work.Take(ref shared);
        work.Prepare(
            context.Input(1).Expect("[C]", channels).Data<float>(), context.Input(2).Expect("[C]", channels).Data<float>(),
            weight1.Data<float>(), context.Input(5).Expect("[r H, D]", mixed, hidden).Data<float>());
        context.ParallelFor(work, (int)(batch * width));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* X;
        public float* Y;
        public float* Bias1;
        public float* Bias2;
        public float* Keep;
        public int KeepStep;
        public int Height;
        public int Width;
        public int Channels;
        public int RaftSize;
        public int Hidden;
        public float Epsilon;

        private float* _scale;
        private float* _bias;
        private float* _weight1;
        private float* _weight2;

        private readonly int GroupWidth => Channels / RaftSize;

        private readonly int Mixed => RaftSize * Height;

        /// <summary>The channels of a group, filled up to whole vectors.</summary>
        private readonly int Columns => (GroupWidth + TSimd.Width - 1) / TSimd.Width * TSimd.Width;

        public void Take(ref Partition memory)
        {
            _scale = memory.Take<float>(Channels);
            _bias = memory.Take<float>(Channels);
            _weight1 = memory.Take<float>((long)Rows(Hidden) * Mixed);
            _weight2 = memory.Take<float>((long)Rows(Mixed) * Hidden);
        }

        /// <summary>The parameters of the normalisation in the order of channels, and the weights filled up to whole tiles.</summary>
        public readonly void Prepare(float* scale, float* bias, float* weight1, float* weight2)
        {
            for (var channel = 0; channel < Channels; channel++)
            {
                var raft = (channel % GroupWidth * RaftSize) + (channel / GroupWidth);
                _scale[channel] = scale[raft];
                _bias[channel] = bias[raft];
            }
            Fill(weight1, _weight1, Hidden, Mixed);
            Fill(weight2, _weight2, Mixed, Hidden);
        }

        public readonly void Run(int index)
        {
            var sizes = new Partition(null);
            Arrays(ref sizes, out _, out _, out _);
            var memory = new Partition(ThreadScratch.Get(sizes.Bytes));
            Arrays(ref memory, out var normalized, out var hidden, out var mixed);
            var (example, column) = Math.DivRem(index, Width);
            var first = (((long)example * Height * Width) + column) * Channels;

            for (var y = 0; y < Height; y++)
                Normalize(X + first + ((long)y * Width * Channels), normalized + (y * Columns));
            TileProduct<float, TVector, TSimd>.Of(_weight1, Mixed, normalized, Columns, hidden, Columns, Mixed).Run(Rows(Hidden), Columns);
            for (var i = 0; i < Hidden; i++)
                BiasGelu(hidden + (i * Columns), Bias1[i]);
            TileProduct<float, TVector, TSimd>.Of(_weight2, Hidden, hidden, Columns, mixed, Columns, Hidden).Run(Rows(Mixed), Columns);
            for (var y = 0; y < Height; y++)
                Add(first + ((long)y * Width * Channels), mixed + (y * Columns), y, Keep[example * KeepStep]);
        }

        private static int Rows(int count)
        {
            const int unit = TileProduct<float, TVector, TSimd>.RowUnit;
            return (count + unit - 1) / unit * unit;
        }

        private static void Fill(float* weight, float* filled, int rows, int length)
        {
            new ReadOnlySpan<float>(weight, rows * length).CopyTo(new(filled, rows * length));
            new Span<float>(filled + (rows * length), (Rows(rows) - rows) * length).Clear();
        }

        private readonly void Arrays(ref Partition memory, out float* normalized, out float* hidden, out float* mixed)
        {
            normalized = memory.Take<float>((long)Mixed * Columns);
            hidden = memory.Take<float>((long)Rows(Hidden) * Columns);
            mixed = memory.Take<float>((long)Rows(Mixed) * Columns);
        }

        // One position; its groups go to every Height-th row.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Normalize(float* x, float* rows)
        {
            TVector sum = default, squares = default;
            for (var c = 0; c < Channels; c += TSimd.Width)
                sum = TSimd.Add(sum, Lanes<TVector, TSimd>.Load(x + c, Channels - c));
            var mean = TSimd.Broadcast(TSimd.Sum(sum) / Channels);
            for (var c = 0; c < Channels; c += TSimd.Width)
            {
                var centered = Lanes<TVector, TSimd>.First(
                    TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + c, Channels - c), mean), Channels - c);
                squares = TSimd.MultiplyAdd(centered, centered, squares);
            }
            var inverse = TSimd.Broadcast(1 / MathF.Sqrt((TSimd.Sum(squares) / Channels) + Epsilon));
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

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void BiasGelu(float* row, float bias)
        {
            var shift = TSimd.Broadcast(bias);
            for (var j = 0; j < Columns; j += TSimd.Width)
                TSimd.Store(Gelu<TVector, TSimd>.Of(TSimd.Add(TSimd.Load(row + j), shift)), row + j);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Add(long position, float* rows, int y, float keep)
        {
            var factor = TSimd.Broadcast(keep);
            for (var g = 0; g < RaftSize; g++)
            {
                var row = rows + ((long)g * Height * Columns);
                var bias = TSimd.Broadcast(Bias2[(g * Height) + y]);
                var start = position + (g * GroupWidth);
                for (var j = 0; j < GroupWidth; j += TSimd.Width)
                {
                    var rest = GroupWidth - j;
                    var branch = TSimd.Multiply(TSimd.Add(TSimd.Load(row + j), bias), factor);
                    Lanes<TVector, TSimd>.Store(TSimd.Add(Lanes<TVector, TSimd>.Load(X + start + j, rest), branch), Y + start + j, rest);
                }
            }
        }
    }
}
