using System.Numerics;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of bi-level routing attention on the CPU, parallel over images and heads. One thread adds up the gradients of a head's
/// keys and values region by region, so the result does not depend on the number of threads.
/// </summary>
internal sealed unsafe class BiLevelRoutingAttentionGradKernel<T, TVector, TSimd>(KernelAttributes attributes) : IKernel
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
    where TVector : unmanaged
    where TSimd : ISimd<T, TVector>
{
    private readonly BiLevelRouting _routing = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _routing.Sizes(context, 1);
        var (height, width) = (sizes.Layout.Height, sizes.Layout.Width);
        ReadOnlySpan<long> query = [sizes.Batch, height, width, sizes.QueryChannels];
        ReadOnlySpan<long> value = [sizes.Batch, height, width, sizes.ValueChannels];
        var head = new Head
        {
            Sizes = sizes,
            Panels = new RegionPanels(sizes.Layout.Tokens, TSimd.Width),
            OutputGrad = context.Input(0).Expect("[N, H, W, C]", value).Data<T>(),
            Query = context.Input(1).Data<T>(),
            Key = context.Input(2).Data<T>(),
            Value = context.Input(3).Data<T>(),
            Output = context.Input(4).Expect("[N, H, W, C]", value).Data<T>(),
            Routing = context.Input(5).Expect("[N, R, top_k]", sizes.Batch, sizes.Layout.Count, sizes.TopK).Data<long>(),
            LogSumExp = context.Input(6).Expect("[N, num_heads, H, W]", sizes.Batch, sizes.Heads, height, width).Data<float>(),
            QueryGrad = context.Output<T>(0, query),
            KeyGrad = context.Output<T>(1, query),
            ValueGrad = context.Output<T>(2, value),
        };
        context.ParallelFor(head, sizes.Batch * sizes.Heads);
    }

    public void Dispose()
    {
    }

    /// <summary>One head of one image. The maps' pointers are moved to the head's first channel when it starts.</summary>
    private struct Head : IParallelWork
    {
        public BiLevelRoutingSizes Sizes;
        public RegionPanels Panels;
        public T* OutputGrad;
        public T* Query;
        public T* Key;
        public T* Value;
        public T* Output;
        public long* Routing;
        public float* LogSumExp;
        public T* QueryGrad;
        public T* KeyGrad;
        public T* ValueGrad;

        // Of all regions: keys (times the scale) and values as panels, keys as rows, and the gradients as rows.
        private T* _keyPanels;
        private T* _valuePanels;
        private T* _keyRows;
        private T* _keyGradRows;
        private T* _valueGradRows;

        // Of a few positions of one region.
        private T* _queryRows;
        private T* _outputGradRows;
        private T* _outputRows;
        private T* _queryGradRows;
        private T* _probabilities;
        private T* _scoreGrads;
        private T* _repeated;
        private int* _selected;

        private readonly int Columns => Panels.ScoreColumns(Sizes.TopK);

        private readonly int RowsTogether => Panels.RowsTogether(Sizes.TopK);

        private readonly int PaddedQueryWidth => Panels.PaddedWidth(Sizes.QueryWidth);

        private readonly int PaddedValueWidth => Panels.PaddedWidth(Sizes.ValueWidth);

        /// <summary>Tokens of a region in the gradients of keys and values.</summary>
        private readonly int GradTokens => RegionPanels.RoundUp(Sizes.Layout.Tokens, TileProduct<T, TVector, TSimd>.RowUnit);

        private readonly long KeyRowsSize => (long)Sizes.Layout.Tokens * PaddedQueryWidth;

        private readonly long KeyGradSize => (long)GradTokens * PaddedQueryWidth;

        private readonly long ValueGradSize => (long)GradTokens * PaddedValueWidth;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var work = this;
            work.MoveTo(index / Sizes.Heads, index % Sizes.Heads);
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            work.Pack();
            for (var region = 0; region < Sizes.Layout.Count; region++)
                work.AddRegion(region);
            work.Unpack();
        }

        private void MoveTo(int image, int head)
        {
            var queryOffset = (image * Sizes.Positions * Sizes.QueryChannels) + (head * Sizes.QueryWidth);
            var valueOffset = (image * Sizes.Positions * Sizes.ValueChannels) + (head * Sizes.ValueWidth);
            Query += queryOffset;
            Key += queryOffset;
            QueryGrad += queryOffset;
            KeyGrad += queryOffset;
            Value += valueOffset;
            Output += valueOffset;
            OutputGrad += valueOffset;
            ValueGrad += valueOffset;
            LogSumExp += (((long)image * Sizes.Heads) + head) * Sizes.Positions;
            Routing += (long)image * Sizes.Layout.Count * Sizes.TopK;
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            var regions = Sizes.Layout.Count;
            _keyPanels = partition.Take<T>((long)regions * Sizes.QueryWidth * Panels.Columns);
            _valuePanels = partition.Take<T>((long)regions * Sizes.ValueWidth * Panels.Columns);
            _keyRows = partition.Take<T>(regions * KeyRowsSize);
            _keyGradRows = partition.Take<T>(regions * KeyGradSize);
            _valueGradRows = partition.Take<T>(regions * ValueGradSize);
            _queryRows = partition.Take<T>((long)RowsTogether * PaddedQueryWidth);
            _outputGradRows = partition.Take<T>((long)RowsTogether * PaddedValueWidth);
            _outputRows = partition.Take<T>((long)RowsTogether * PaddedValueWidth);
            _queryGradRows = partition.Take<T>((long)RowsTogether * PaddedQueryWidth);
            // The products that sum over positions read a few columns past the last region.
            _probabilities = partition.Take<T>(((long)RowsTogether * Columns) + TileProduct<T, TVector, TSimd>.RowUnit);
            _scoreGrads = partition.Take<T>(((long)RowsTogether * Columns) + TileProduct<T, TVector, TSimd>.RowUnit);
            _repeated = partition.Take<T>(
                RegionScores<T, TVector, TSimd>.ScratchSize(Panels, RowsTogether, Math.Max(Sizes.QueryWidth, Sizes.ValueWidth)));
            _selected = partition.Take<int>(Sizes.TopK);
            return partition.Bytes;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Pack()
        {
            var scale = T.CreateChecked(Sizes.Scale);
            for (var index = 0; index < Sizes.Layout.Count; index++)
            {
                var region = Sizes.Layout[index];
                RegionPacking.PackPanel(
                    Key, Sizes.QueryChannels, Sizes.QueryWidth, Sizes.Layout, region,
                    _keyPanels + ((long)index * Sizes.QueryWidth * Panels.Columns), Panels.Columns, scale);
                RegionPacking.PackPanel(
                    Value, Sizes.ValueChannels, Sizes.ValueWidth, Sizes.Layout, region,
                    _valuePanels + ((long)index * Sizes.ValueWidth * Panels.Columns), Panels.Columns, T.One);
                RegionPacking.PackTokens(
                    Key, Sizes.QueryChannels, Sizes.QueryWidth, Sizes.Layout, region, _keyRows + (index * KeyRowsSize), PaddedQueryWidth);
                new Span<T>(_keyGradRows + (index * KeyGradSize), (int)KeyGradSize).Clear();
                new Span<T>(_valueGradRows + (index * ValueGradSize), (int)ValueGradSize).Clear();
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Unpack()
        {
            for (var index = 0; index < Sizes.Layout.Count; index++)
            {
                var region = Sizes.Layout[index];
                RegionPacking.UnpackTokens(
                    _keyGradRows + (index * KeyGradSize), PaddedQueryWidth, Sizes.Layout, region, KeyGrad, Sizes.QueryChannels, Sizes.QueryWidth);
                RegionPacking.UnpackTokens(
                    _valueGradRows + (index * ValueGradSize), PaddedValueWidth, Sizes.Layout, region, ValueGrad, Sizes.ValueChannels, Sizes.ValueWidth);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void AddRegion(int index)
        {
            for (var i = 0; i < Sizes.TopK; i++)
            {
                var selected = Routing[((long)index * Sizes.TopK) + i];
                if ((ulong)selected >= (ulong)Sizes.Layout.Count)
                    throw new KernelException($"routing has region {selected}, but there are {Sizes.Layout.Count}");
                _selected[i] = (int)selected;
            }
            var region = Sizes.Layout[index];
            for (var first = 0; first < region.Positions; first += RowsTogether)
                AddPositions(region, first, Math.Min(RowsTogether, region.Positions - first));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void AddPositions(in Region region, int first, int count)
        {
            var rows = RegionPanels.RoundUp(count, Panels.RowUnit);
            RegionPacking.PackPositions(Query, Sizes.QueryChannels, Sizes.QueryWidth, region, first, count, Panels.RowUnit, _queryRows, PaddedQueryWidth);
            RegionPacking.PackPositions(
                OutputGrad, Sizes.ValueChannels, Sizes.ValueWidth, region, first, count, Panels.RowUnit, _outputGradRows, PaddedValueWidth);
            RegionPacking.PackPositions(Output, Sizes.ValueChannels, Sizes.ValueWidth, region, first, count, Panels.RowUnit, _outputRows, PaddedValueWidth);

            RegionScores<T, TVector, TSimd>.Compute(
                _queryRows, PaddedQueryWidth, rows, Sizes.QueryWidth, _keyPanels, Panels, _selected, Sizes.TopK, _probabilities, Columns, _repeated);
            RegionScores<T, TVector, TSimd>.Compute(
                _outputGradRows, PaddedValueWidth, rows, Sizes.ValueWidth, _valuePanels, Panels, _selected, Sizes.TopK, _scoreGrads, Columns, _repeated);
            SoftmaxGrad(region, first, count);

            TileProduct<T, TVector, TSimd>.Of(
                    _scoreGrads, Columns, _keyRows, PaddedQueryWidth, _queryGradRows, PaddedQueryWidth, Sizes.Layout.Tokens)
                .Gather(_selected, Sizes.TopK, Panels.Columns, (nint)KeyRowsSize)
                .Run(RegionPanels.RoundUp(count, TileProduct<T, TVector, TSimd>.RowUnit), PaddedQueryWidth);
            for (var row = 0; row < count; row++)
            {
                RegionPacking.Copy(
                    _queryGradRows + ((long)row * PaddedQueryWidth), QueryGrad + (region.Place(first + row) * Sizes.QueryChannels), Sizes.QueryWidth);
            }
            for (var i = 0; i < Sizes.TopK; i++)
            {
                AddTransposed(_scoreGrads + (i * Panels.Columns), _queryRows, PaddedQueryWidth, count, _keyGradRows + (_selected[i] * KeyGradSize));
                AddTransposed(
                    _probabilities + (i * Panels.Columns), _outputGradRows, PaddedValueWidth, count, _valueGradRows + (_selected[i] * ValueGradSize));
            }
        }

        /// <summary>Turns scores into probabilities, and the gradients of the probabilities into those of the scores.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void SoftmaxGrad(in Region region, int first, int count)
        {
            var scale = TSimd.Broadcast(T.CreateChecked(Sizes.Scale));
            for (var row = 0; row < count; row++)
            {
                TVector dot = default;
                for (var column = 0; column < PaddedValueWidth; column += TSimd.Width)
                {
                    var offset = ((long)row * PaddedValueWidth) + column;
                    dot = TSimd.MultiplyAdd(TSimd.Load(_outputGradRows + offset), TSimd.Load(_outputRows + offset), dot);
                }
                var mean = TSimd.Broadcast(TSimd.Sum(dot));
                var logSumExp = TSimd.Broadcast(T.CreateChecked(LogSumExp[region.Place(first + row)]));
                for (var column = 0; column < Columns; column += TSimd.Width)
                {
                    var offset = ((long)row * Columns) + column;
                    var probability = TSimd.Exp(TSimd.Subtract(TSimd.Load(_probabilities + offset), logSumExp));
                    var grad = TSimd.Subtract(TSimd.Load(_scoreGrads + offset), mean);
                    TSimd.Store(probability, _probabilities + offset);
                    TSimd.Store(TSimd.Multiply(TSimd.Multiply(probability, scale), grad), _scoreGrads + offset);
                }
            }
        }

        /// <summary>target [tokens, width] += weights^T [tokens, positions] rows [positions, width].</summary>
        private readonly void AddTransposed(T* weights, T* rows, int paddedWidth, int positions, T* target)
        {
            var product = TileProduct<T, TVector, TSimd>.Of(weights, 1, rows, paddedWidth, target, paddedWidth, positions);
            product.AStep = Columns;
            product.Accumulate = true;
            product.Run(GradTokens, paddedWidth);
        }
    }
}
