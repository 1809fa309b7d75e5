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
        var x = context.Input(0);
        var column = RaftColumn<TVector, TSimd>.Of(x, _raftSize, _epsilon);
        var (mixed, channels) = (column.Mixed, column.Channels);
        var weight1 = context.Input(3).Expect("[D, r H]", -1, mixed);
        var hidden = (int)weight1.Shape.Dims[0];
        var keep = context.Input(7);
        var work = new Work
        {
            X = x.Data<float>(),
            Y = context.Output<float>(0, x.Shape.Dims),
            Bias1 = context.Input(4).Expect("[D]", hidden).Data<float>(),
            Bias2 = context.Input(6).Expect("[r H]", mixed).Data<float>(),
            Keep = keep.Data<float>(),
            KeepStep = KeptExamples.StepOf(keep, column.Batch),
            Column = column,
            Hidden = hidden,
        };
        var sizes = new Partition(null);
        work.Take(ref sizes);
        using var memory = context.Allocate(sizes.Bytes);
        var shared = new Partition(memory.Data);
        work.Take(ref shared);
        work.Prepare(
            context.Input(1).Expect("[C]", channels).Data<float>(), context.Input(2).Expect("[C]", channels).Data<float>(),
            weight1.Data<float>(), context.Input(5).Expect("[r H, D]", mixed, hidden).Data<float>());
        context.ParallelFor(work, column.Count);
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
        public RaftColumn<TVector, TSimd> Column;
        public int Hidden;

        private float* _weight1;
        private float* _weight2;

        public void Take(ref Partition memory)
        {
            Column.Take(ref memory);
            _weight1 = memory.Take<float>((long)Rows(Hidden) * Column.Mixed);
            _weight2 = memory.Take<float>((long)Rows(Column.Mixed) * Hidden);
        }

        /// <summary>The parameters of the normalisation in the order of channels, and the weights filled up to whole tiles.</summary>
        public readonly void Prepare(float* scale, float* bias, float* weight1, float* weight2)
        {
            Column.Prepare(scale, bias);
            Fill(weight1, _weight1, Hidden, Column.Mixed);
            Fill(weight2, _weight2, Column.Mixed, Hidden);
        }

        public readonly void Run(int index)
        {
            var sizes = new Partition(null);
            Arrays(ref sizes, out _, out _, out _);
            var memory = new Partition(ThreadScratch.Get(sizes.Bytes));
            Arrays(ref memory, out var normalized, out var hidden, out var mixed);
            var (columns, mixedRows, first) = (Column.Columns, Column.Mixed, Column.Start(index));
            for (var y = 0; y < Column.Height; y++)
                Column.Normalize(X + first + (y * Column.Pitch), normalized + (y * columns));
            TileProduct<float, TVector, TSimd>.Of(_weight1, mixedRows, normalized, columns, hidden, columns, mixedRows)
                .Run(Rows(Hidden), columns);
            for (var i = 0; i < Hidden; i++)
                BiasGelu(hidden + (i * columns), Bias1[i]);
            TileProduct<float, TVector, TSimd>.Of(_weight2, Hidden, hidden, columns, mixed, columns, Hidden).Run(Rows(mixedRows), columns);
            for (var y = 0; y < Column.Height; y++)
                Add(first + (y * Column.Pitch), mixed + (y * columns), y, Keep[index / Column.Width * KeepStep]);
        }

        private static int Rows(int count) => RaftColumn<TVector, TSimd>.Rows(count);

        private static void Fill(float* weight, float* filled, int rows, int length)
        {
            new ReadOnlySpan<float>(weight, rows * length).CopyTo(new(filled, rows * length));
            new Span<float>(filled + (rows * length), (Rows(rows) - rows) * length).Clear();
        }

        private readonly void Arrays(ref Partition memory, out float* normalized, out float* hidden, out float* mixed)
        {
            normalized = memory.Take<float>((long)Column.Mixed * Column.Columns);
            hidden = memory.Take<float>((long)Rows(Hidden) * Column.Columns);
            mixed = memory.Take<float>((long)Rows(Column.Mixed) * Column.Columns);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void BiasGelu(float* row, float bias)
        {
            var shift = TSimd.Broadcast(bias);
            for (var j = 0; j < Column.Columns; j += TSimd.Width)
                TSimd.Store(Gelu<TVector, TSimd>.Of(TSimd.Add(TSimd.Load(row + j), shift)), row + j);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Add(long position, float* rows, int y, float keep)
        {
            var factor = TSimd.Broadcast(keep);
            for (var g = 0; g < Column.RaftSize; g++)
            {
                var row = rows + ((long)g * Column.Height * Column.Columns);
                var bias = TSimd.Broadcast(Bias2[(g * Column.Height) + y]);
                var start = position + (g * Column.GroupWidth);
                for (var j = 0; j < Column.GroupWidth; j += TSimd.Width)
                {
                    var rest = Column.GroupWidth - j;
                    var branch = TSimd.Multiply(TSimd.Add(TSimd.Load(row + j), bias), factor);
                    Lanes<TVector, TSimd>.Store(TSimd.Add(Lanes<TVector, TSimd>.Load(X + start + j, rest), branch), Y + start + j, rest);
                }
            }
        }
    }
}
