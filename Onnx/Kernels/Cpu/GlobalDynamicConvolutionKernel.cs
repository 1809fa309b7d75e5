using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Global dynamic convolution, a run of positions at a time: keys, products and results of the run stay in the thread's cache. Where it is
/// less work, projection and filters are multiplied first.
/// </summary>
internal sealed unsafe class GlobalDynamicConvolutionKernel<TVector, TSimd> : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int RowUnit = TileProduct<float, TVector, TSimd>.RowUnit;

    /// <summary>Positions of a run.</summary>
    private const int RunLength = 64;

    /// <summary>Rows of the right factor that a product takes at a time, so that they stay in the innermost cache.</summary>
    private const int InnerLength = 256;

    public void Compute(KernelContext context)
    {
        var sizes = GlobalDynamicConvolutionSizes.Of(context);
        var work = new Work
        {
            X = context.Input(0).Data<float>(),
            Key = context.Input(1).Data<float>(),
            Filters = context.Input(2).Data<float>(),
            Projection = context.Input(3).Data<float>(),
            Offset = context.Input(4).Data<float>()[0],
            Bias = context.Input(5).Data<float>(),
            Y = context.Output<float>(0, context.Input(0).Shape.Dims),
            Sizes = sizes,
            FilterRow = Round(sizes.Channels, TSimd.Width),
            Runs = (sizes.Positions + RunLength - 1) / RunLength,
        };
        var layout = new Partition(null);
        work.Place(ref layout);
        using var memory = context.Allocate(layout.Bytes);
        layout = new(memory.Data);
        work.Place(ref layout);

        work.Pad();
        if (sizes.IsFoldingLess)
            context.ParallelFor(new Folding { Work = work }, sizes.Batch * work.ChannelRows / RowUnit);
        context.ParallelFor(work, sizes.Batch * work.Runs);
    }

    public void Dispose()
    {
    }

    private static int Round(int value, int unit) => (value + unit - 1) / unit * unit;

    // c = a b, with the inner axis in parts; rows of c are as far apart as those of b.
    private static void Multiply(float* a, int aRow, float* b, int bRow, float* c, int rows, int inner, int columns)
    {
        for (var start = 0; start < inner; start += InnerLength)
        {
            var product = TileProduct<float, TVector, TSimd>.Of(
                a + start, aRow, b + ((nint)start * bRow), bRow, c, bRow, Math.Min(InnerLength, inner - start));
            product.Accumulate = start > 0;
            product.Run(rows, columns);
        }
    }

    /// <summary>Four rows of one picture's projection times filters.</summary>
    private struct Folding : IParallelWork
    {
        public Work Work;

        public readonly void Run(int index)
        {
            var units = Work.ChannelRows / RowUnit;
            var (picture, row) = (index / units, index % units * RowUnit);
            Multiply(
                Work.PaddedProjection + ((nint)row * Work.Sizes.Tokens), Work.Sizes.Tokens, Work.FiltersOf(picture), Work.FilterRow,
                Work.FoldedOf(picture) + ((nint)row * Work.FilterRow), RowUnit, Work.Sizes.Tokens, Work.FilterRow);
        }
    }

    /// <summary>One run of one picture's positions.</summary>
    private struct Work : IParallelWork
    {
        public float* X;
        public float* Key;
        public float* Filters;
        public float* Projection;
        public float Offset;
        public float* Bias;
        public float* Y;
        public GlobalDynamicConvolutionSizes Sizes;

        /// <summary>Elements from one row of the padded filters to the next.</summary>
        public int FilterRow;
        public int Runs;

        /// <summary>[C, T], with rows of zeros up to a whole number of units.</summary>
        public float* PaddedProjection;

        private float* _paddedFilters;
        private float* _folded;
        private float* _constants;

        public readonly int ChannelRows => Round(Sizes.Channels, RowUnit);

        private readonly int TokenRows => Round(Sizes.Tokens, RowUnit);

        public readonly float* FiltersOf(int picture) => _paddedFilters + ((nint)picture * TokenRows * FilterRow);

        public readonly float* FoldedOf(int picture) => _folded + ((nint)picture * ChannelRows * FilterRow);

        public void Place(ref Partition memory)
        {
            PaddedProjection = memory.Take<float>((long)ChannelRows * Sizes.Tokens);
            _paddedFilters = memory.Take<float>((long)Sizes.Batch * TokenRows * FilterRow);
            _folded = memory.Take<float>(Sizes.IsFoldingLess ? (long)Sizes.Batch * ChannelRows * FilterRow : 0);
            _constants = memory.Take<float>(Sizes.Channels);
        }

        public readonly void Pad()
        {
            Pad(Projection, Sizes.Channels, Sizes.Tokens, PaddedProjection, ChannelRows, Sizes.Tokens);
            for (var picture = 0; picture < Sizes.Batch; picture++)
            {
                var filters = Filters + ((nint)picture * Sizes.Tokens * Sizes.Channels);
                Pad(filters, Sizes.Tokens, Sizes.Channels, FiltersOf(picture), TokenRows, FilterRow);
            }
            for (var channel = 0; channel < Sizes.Channels; channel++)
            {
                var sum = 0f;
                foreach (var factor in new ReadOnlySpan<float>(Projection + ((nint)channel * Sizes.Tokens), Sizes.Tokens))
                    sum += factor;
                _constants[channel] = (Offset * sum) + Bias[channel];
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var (picture, first) = (index / Runs, index % Runs * RunLength);
            var count = Math.Min(RunLength, Sizes.Positions - first);
            var start = ((nint)picture * Sizes.Channels * Sizes.Positions) + first;
            var keys = (float*)ThreadScratch.Get((long)(Sizes.Channels + TokenRows + ChannelRows) * RunLength * sizeof(float));
            var products = keys + ((nint)Sizes.Channels * RunLength);
            var results = products + ((nint)TokenRows * RunLength);
            for (var channel = 0; channel < Sizes.Channels; channel++)
            {
                var run = new Span<float>(keys + ((nint)channel * RunLength), RunLength);
                new ReadOnlySpan<float>(Key + start + ((nint)channel * Sizes.Positions), count).CopyTo(run);
                run[count..].Clear();
            }
            if (Sizes.IsFoldingLess)
            {
                Multiply(FoldedOf(picture), FilterRow, keys, RunLength, results, ChannelRows, Sizes.Channels, RunLength);
            }
            else
            {
                Multiply(FiltersOf(picture), FilterRow, keys, RunLength, products, TokenRows, Sizes.Channels, RunLength);
                Multiply(PaddedProjection, Sizes.Tokens, products, RunLength, results, ChannelRows, Sizes.Tokens, RunLength);
            }
            for (var channel = 0; channel < Sizes.Channels; channel++)
            {
                var constant = TSimd.Broadcast(_constants[channel]);
                var x = X + start + ((nint)channel * Sizes.Positions);
                var y = Y + start + ((nint)channel * Sizes.Positions);
                var result = results + ((nint)channel * RunLength);
                for (var i = 0; i < count; i += TSimd.Width)
                {
                    var branch = TSimd.Add(TSimd.Load(result + i), constant);
                    Lanes<TVector, TSimd>.Store(TSimd.Add(Lanes<TVector, TSimd>.Load(x + i, count - i), branch), y + i, count - i);
                }
            }
        }

        private static void Pad(float* source, int rows, int columns, float* target, int targetRows, int targetColumns)
        {
            for (var row = 0; row < targetRows; row++)
            {
                var padded = new Span<float>(target + ((nint)row * targetColumns), targetColumns);
                padded.Clear();
                if (row < rows)
                    new ReadOnlySpan<float>(source + ((nint)row * columns), columns).CopyTo(padded);
            }
        }
    }
}
