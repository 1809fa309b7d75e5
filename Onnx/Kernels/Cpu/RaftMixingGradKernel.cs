using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of raft-token mixing, a column of the map at a time: what the forward pass had in between is computed again. The
/// gradients of parameters are summed up in a fixed number of parts, so that the result does not depend on the number of threads.
/// </summary>
internal sealed unsafe class RaftMixingGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int MostParts = 16;

    private readonly int _raftSize = attributes.PositiveInt("raft_size");
    private readonly float _epsilon = attributes.Float("epsilon");

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var column = RaftColumn<TVector, TSimd>.Of(x, _raftSize, _epsilon);
        var (mixed, channels) = (column.Mixed, column.Channels);
        var weight1 = context.Input(4).Expect("[D, r H]", -1, mixed);
        var hidden = (int)weight1.Shape.Dims[0];
        var keep = context.Input(7);
        var work = new Work
        {
            YGrad = context.Input(0).Expect("the shape of x", x.Shape.Dims).Data<float>(),
            X = x.Data<float>(),
            Bias1 = context.Input(5).Expect("[D]", hidden).Data<float>(),
            Keep = keep.Data<float>(),
            KeepStep = KeptExamples.StepOf(keep, column.Batch),
            XGrad = context.Output<float>(0, x.Shape.Dims),
            Column = column,
            Hidden = hidden,
            Parts = Math.Clamp(column.Count, 1, MostParts),
        };
        var sizes = new Partition(null);
        work.Take(ref sizes);
        using var memory = context.Allocate(sizes.Bytes);
        var shared = new Partition(memory.Data);
        work.Take(ref shared);
        work.Prepare(
            context.Input(2).Expect("[C]", channels).Data<float>(), context.Input(3).Expect("[C]", channels).Data<float>(),
            weight1.Data<float>(), context.Input(6).Expect("[r H, D]", mixed, hidden).Data<float>());
        context.ParallelFor(work, work.Parts);
        work.AddUp(
            context.Output<float>(1, channels), context.Output<float>(2, channels), context.Output<float>(3, hidden, mixed),
            context.Output<float>(4, hidden), context.Output<float>(5, mixed, hidden), context.Output<float>(6, mixed));
    }

    public void Dispose()
    {
    }

    /// <summary>What is summed up over the columns. Both weights are [D, r H], filled up to whole tiles.</summary>
    private struct Sums
    {
        public float* Weight1;
        public float* Weight2;
        public float* Bias1;
        public float* Bias2;
        public float* Scale;
        public float* Bias;
    }

    /// <summary>Matrices of one column: [r H, C / r], [D, C / r], and tokens and their gradient as [C / r, r H], too.</summary>
    private struct Matrices
    {
        public float* Tokens;
        public float* TokensTurned;
        public float* MixedGrad;
        public float* MixedGradTurned;
        public float* Inner;
        public float* Hidden;
        public float* HiddenGrad;
    }

    private struct Work : IParallelWork
    {
        public float* YGrad;
        public float* X;
        public float* Bias1;
        public float* Keep;
        public int KeepStep;
        public float* XGrad;
        public RaftColumn<TVector, TSimd> Column;
        public int Hidden;
        public int Parts;

        private float* _weight1;
        private float* _weight2;
        private float* _sums;

        private readonly int HiddenRows => RaftColumn<TVector, TSimd>.Rows(Hidden);

        private readonly int MixedRows => RaftColumn<TVector, TSimd>.Rows(Column.Mixed);

        /// <summary>The length of a row of r H elements, filled up to whole vectors.</summary>
        private readonly int MixedColumns => RaftColumn<TVector, TSimd>.Whole(Column.Mixed);

        private readonly long SumsLength
        {
            get
            {
                var sizes = new Partition(null);
                Take(ref sizes, out Sums _);
                return sizes.Bytes / sizeof(float);
            }
        }

        public void Take(ref Partition memory)
        {
            Column.Take(ref memory);
            _weight1 = memory.Take<float>((long)HiddenRows * MixedRows);
            _weight2 = memory.Take<float>((long)HiddenRows * MixedRows);
            _sums = memory.Take<float>(Parts * SumsLength);
        }

        /// <summary>The parameters of the normalisation in the order of channels, and the weights filled up to whole tiles.</summary>
        public readonly void Prepare(float* scale, float* bias, float* weight1, float* weight2)
        {
            Column.Prepare(scale, bias);
            Fill(weight1, _weight1, Hidden, Column.Mixed, HiddenRows, MixedRows);
            Fill(weight2, _weight2, Column.Mixed, Hidden, MixedRows, HiddenRows);
        }

        public readonly void Run(int part)
        {
            var memory = new Partition(_sums + (part * SumsLength));
            Take(ref memory, out Sums sums);
            new Span<float>(_sums + (part * SumsLength), (int)SumsLength).Clear();
            var sizes = new Partition(null);
            Take(ref sizes, out Matrices _);
            memory = new Partition(ThreadScratch.Get(sizes.Bytes));
            Take(ref memory, out Matrices matrices);
            var end = (int)((long)Column.Count * (part + 1) / Parts);
            for (var index = (int)((long)Column.Count * part / Parts); index < end; index++)
                Run(index, sums, matrices);
        }

        /// <summary>Adds the parts up; where a result is null nobody asks for it.</summary>
        public readonly void AddUp(float* scale, float* bias, float* weight1, float* bias1, float* weight2, float* bias2)
        {
            for (var part = 1; part < Parts; part++)
                Add(_sums + (part * SumsLength), _sums, SumsLength);
            var memory = new Partition(_sums);
            Take(ref memory, out Sums sums);
            for (var c = 0; c < Column.Channels; c++)
            {
                if (scale != null)
                    scale[Column.Raft(c)] = sums.Scale[c];
                if (bias != null)
                    bias[Column.Raft(c)] = sums.Bias[c];
            }
            for (var d = 0; d < Hidden; d++)
            {
                if (bias1 != null)
                    bias1[d] = sums.Bias1[d];
                for (var k = 0; k < Column.Mixed; k++)
                {
                    if (weight1 != null)
                        weight1[(d * Column.Mixed) + k] = sums.Weight1[(d * MixedColumns) + k];
                    if (weight2 != null)
                        weight2[(k * Hidden) + d] = sums.Weight2[(d * MixedColumns) + k];
                }
            }
            if (bias2 != null)
                new ReadOnlySpan<float>(sums.Bias2, Column.Mixed).CopyTo(new(bias2, Column.Mixed));
        }

        private static void Fill(float* weight, float* filled, int rows, int columns, int filledRows, int filledColumns)
        {
            new Span<float>(filled, filledRows * filledColumns).Clear();
            for (var row = 0; row < rows; row++)
                new ReadOnlySpan<float>(weight + (row * columns), columns).CopyTo(new(filled + (row * filledColumns), columns));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Add(float* addend, float* sum, long count)
        {
            for (long i = 0; i < count; i += TSimd.Width)
            {
                var value = TSimd.Add(Lanes<TVector, TSimd>.Load(addend + i, count - i), Lanes<TVector, TSimd>.Load(sum + i, count - i));
                Lanes<TVector, TSimd>.Store(value, sum + i, count - i);
            }
        }

        private readonly void Take(ref Partition memory, out Sums sums) => sums = new()
        {
            Weight1 = memory.Take<float>((long)HiddenRows * MixedColumns),
            Weight2 = memory.Take<float>((long)HiddenRows * MixedColumns),
            Bias1 = memory.Take<float>(Hidden),
            Bias2 = memory.Take<float>(Column.Mixed),
            Scale = memory.Take<float>(Column.Channels),
            Bias = memory.Take<float>(Column.Channels),
        };

        private readonly void Take(ref Partition memory, out Matrices matrices) => matrices = new()
        {
            Tokens = memory.Take<float>((long)MixedRows * Column.Columns),
            TokensTurned = memory.Take<float>((long)Column.GroupWidth * MixedColumns),
            MixedGrad = memory.Take<float>((long)MixedRows * Column.Columns),
            MixedGradTurned = memory.Take<float>((long)Column.GroupWidth * MixedColumns),
            Inner = memory.Take<float>((long)HiddenRows * Column.Columns),
            Hidden = memory.Take<float>((long)HiddenRows * Column.Columns),
            HiddenGrad = memory.Take<float>((long)HiddenRows * Column.Columns),
        };

        private readonly void Run(int index, in Sums sums, in Matrices m)
        {
            var (first, columns, mixed) = (Column.Start(index), Column.Columns, Column.Mixed);
            for (var y = 0; y < Column.Height; y++)
            {
                Column.Normalize(X + first + (y * Column.Pitch), m.Tokens + (y * columns));
                Scaled(YGrad + first + (y * Column.Pitch), m.MixedGrad + (y * columns), Keep[index / Column.Width * KeepStep]);
            }
            Turn(m.Tokens, m.TokensTurned);
            Turn(m.MixedGrad, m.MixedGradTurned);
            AddRows(m.MixedGrad, sums.Bias2, mixed);

            TileProduct<float, TVector, TSimd>.Of(_weight1, MixedRows, m.Tokens, columns, m.Inner, columns, mixed).Run(HiddenRows, columns);
            OfTurned(_weight2, HiddenRows, m.MixedGrad, m.HiddenGrad, mixed).Run(HiddenRows, columns);
            for (var i = 0; i < Hidden; i++)
                BiasGelu(m.Inner + (i * columns), Bias1[i], m.Hidden + (i * columns), m.HiddenGrad + (i * columns));
            AddRows(m.HiddenGrad, sums.Bias1, Hidden);
            AddProduct(m.Hidden, m.MixedGradTurned, sums.Weight2);
            AddProduct(m.HiddenGrad, m.TokensTurned, sums.Weight1);

            // The gradient of the tokens takes their place.
            OfTurned(_weight1, MixedRows, m.HiddenGrad, m.Tokens, Hidden).Run(MixedRows, columns);
            for (var y = 0; y < Column.Height; y++)
                NormalizationGrad(first + (y * Column.Pitch), m.Tokens + (y * columns), sums);
        }

        // The turned weights times a matrix [length, C / r].
        private readonly TileProduct<float, TVector, TSimd> OfTurned(float* weights, int row, float* matrix, float* result, int length) =>
            TileProduct<float, TVector, TSimd>.Of(weights, 1, matrix, Column.Columns, result, Column.Columns, length) with { AStep = row };

        private readonly void AddProduct(float* ofHidden, float* turned, float* sum)
        {
            var product = TileProduct<float, TVector, TSimd>.Of(
                ofHidden, Column.Columns, turned, MixedColumns, sum, MixedColumns, Column.GroupWidth);
            product.Accumulate = true;
            product.Run(HiddenRows, MixedColumns);
        }

        private readonly void Turn(float* matrix, float* turned)
        {
            for (var j = 0; j < Column.GroupWidth; j++)
            {
                var row = new Span<float>(turned + (j * MixedColumns), MixedColumns);
                row[Column.Mixed..].Clear();
                for (var k = 0; k < Column.Mixed; k++)
                    row[k] = matrix[(k * Column.Columns) + j];
            }
        }

        // One position times a number; its groups go to every Height-th row.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Scaled(float* source, float* rows, float factor)
        {
            for (var g = 0; g < Column.RaftSize; g++)
            {
                var row = rows + ((long)g * Column.Height * Column.Columns);
                for (var j = 0; j < Column.GroupWidth; j += TSimd.Width)
                {
                    var value = Lanes<TVector, TSimd>.Load(source + (g * Column.GroupWidth) + j, Column.GroupWidth - j);
                    TSimd.Store(TSimd.Multiply(value, TSimd.Broadcast(factor)), row + j);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void AddRows(float* matrix, float* sums, int rows)
        {
            for (var row = 0; row < rows; row++)
            {
                var sum = default(TVector);
                for (var j = 0; j < Column.Columns; j += TSimd.Width)
                    sum = TSimd.Add(sum, TSimd.Load(matrix + (row * Column.Columns) + j));
                sums[row] += TSimd.Sum(sum);
            }
        }

        // The hidden elements of a row, and their gradient before the GELU in place of that behind it.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void BiasGelu(float* inner, float bias, float* hidden, float* gradient)
        {
            for (var j = 0; j < Column.Columns; j += TSimd.Width)
            {
                var value = TSimd.Add(TSimd.Load(inner + j), TSimd.Broadcast(bias));
                TSimd.Store(Gelu<TVector, TSimd>.Of(value), hidden + j);
                TSimd.Store(TSimd.Multiply(TSimd.Load(gradient + j), Gelu<TVector, TSimd>.Slope(value)), gradient + j);
            }
        }

        // One position: the gradient of its normalised elements, which are in every Height-th row, becomes that of the map.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void NormalizationGrad(long position, float* rows, in Sums sums)
        {
            var x = X + position;
            var group = Column.GroupWidth;
            var statistics = Column.Statistics(x);
            var (mean, inverse) = (TSimd.Broadcast(statistics.Mean), TSimd.Broadcast(statistics.Inverse));
            var (scaledSum, productSum) = (default(TVector), default(TVector));
            for (var g = 0; g < Column.RaftSize; g++)
            {
                var row = rows + ((long)g * Column.Height * Column.Columns);
                for (var j = 0; j < group; j += TSimd.Width)
                {
                    var (c, rest) = ((g * group) + j, group - j);
                    var gradient = Lanes<TVector, TSimd>.Load(row + j, rest);
                    var normalized = TSimd.Multiply(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + c, rest), mean), inverse);
                    var scaled = TSimd.Multiply(gradient, Lanes<TVector, TSimd>.Load(Column.Scale + c, rest));
                    scaledSum = TSimd.Add(scaledSum, scaled);
                    productSum = TSimd.MultiplyAdd(scaled, normalized, productSum);
                    var scaleSum = TSimd.MultiplyAdd(gradient, normalized, Lanes<TVector, TSimd>.Load(sums.Scale + c, rest));
                    Lanes<TVector, TSimd>.Store(scaleSum, sums.Scale + c, rest);
                    Lanes<TVector, TSimd>.Store(
                        TSimd.Add(gradient, Lanes<TVector, TSimd>.Load(sums.Bias + c, rest)), sums.Bias + c, rest);
                }
            }
            var scaledMean = TSimd.Broadcast(TSimd.Sum(scaledSum) / Column.Channels);
            var productMean = TSimd.Broadcast(TSimd.Sum(productSum) / Column.Channels);
            for (var g = 0; g < Column.RaftSize; g++)
            {
                var row = rows + ((long)g * Column.Height * Column.Columns);
                for (var j = 0; j < group; j += TSimd.Width)
                {
                    var (c, rest) = ((g * group) + j, group - j);
                    var normalized = TSimd.Multiply(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + c, rest), mean), inverse);
                    var scaled = TSimd.Multiply(
                        Lanes<TVector, TSimd>.Load(row + j, rest), Lanes<TVector, TSimd>.Load(Column.Scale + c, rest));
                    var branch = TSimd.Subtract(TSimd.Subtract(scaled, scaledMean), TSimd.Multiply(normalized, productMean));
                    var residual = Lanes<TVector, TSimd>.Load(YGrad + position + c, rest);
                    Lanes<TVector, TSimd>.Store(TSimd.MultiplyAdd(branch, inverse, residual), XGrad + position + c, rest);
                }
            }
        }
    }
}
