using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of efficient local attention: blocks of channels of one image at a time for the map, which leave their strips behind,
/// then a channel at a time for weights, scale and bias, summed over the batch in a fixed order.
/// </summary>
internal sealed unsafe class EfficientLocalAttentionGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly LocalAttention _attention = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _attention.Sizes(context, 1);
        var scale = context.Input(3).Data<float>();
        var call = new Call
        {
            OutputGrad = context.Input(0).Expect("the shape of x", context.Input(1).Shape.Dims).Data<float>(),
            X = context.Input(1).Data<float>(),
            Scale = scale,
            XGrad = context.Output<float>(0, context.Input(1).Shape.Dims),
            WeightGrad = context.Output<float>(1, context.Input(2).Shape.Dims),
            ScaleGrad = context.Output<float>(2, sizes.Channels),
            BiasGrad = context.Output<float>(3, sizes.Channels),
            Sizes = sizes,
            Strips = new(sizes, context.Input(2).Data<float>(), scale, context.Input(4).Data<float>()),
        };
        var (_, bytes) = call.Kept(null);
        using var memory = context.Allocate(bytes);
        (call, _) = call.Kept(memory.Data);
        context.ParallelFor(new MapWork(call), sizes.Batch * sizes.Blocks);
        context.ParallelFor(new ParameterWork(call), sizes.Channels);
    }

    public void Dispose()
    {
    }

    private struct Call
    {
        public float* OutputGrad;
        public float* X;
        public float* Scale;
        public float* XGrad;
        public float* WeightGrad;
        public float* ScaleGrad;
        public float* BiasGrad;

        /// <summary>[N, C, pitch]: the means, and the gradients of what the convolution makes of them.</summary>
        public float* Means;
        public float* ConvolvedGrad;

        /// <summary>[N, C]: the parts that each image has in the gradients of scale and bias.</summary>
        public float* ScaleParts;
        public float* BiasParts;
        public LocalAttentionSizes Sizes;
        public AttentionStrips<TVector, TSimd> Strips;

        /// <summary>This call with the memory that lasts for all of it.</summary>
        public readonly (Call Call, long Bytes) Kept(void* memory)
        {
            var partition = new Partition(memory);
            var call = this;
            var channels = (long)Sizes.Batch * Sizes.Channels;
            call.Means = partition.Take<float>(channels * Strips.Pitch);
            call.ConvolvedGrad = partition.Take<float>(channels * Strips.Pitch);
            call.ScaleParts = partition.Take<float>(channels);
            call.BiasParts = partition.Take<float>(channels);
            return (call, partition.Bytes);
        }
    }

    private struct MapWork(in Call call) : IParallelWork
    {
        private Call _call = call;

        public readonly void Run(int index)
        {
            var (sizes, strips) = (_call.Sizes, _call.Strips);
            var (_, bytes) = Scratch(null);
            var (scratch, _) = Scratch(ThreadScratch.Get(bytes));
            strips.FillMasks(scratch.Masks);
            var first = index % sizes.Blocks * strips.BlockChannels;
            var channels = ((long)(index / sizes.Blocks) * sizes.Channels) + first;
            var x = _call.X + (channels * sizes.PlaneSize);
            var g = _call.OutputGrad + (channels * sizes.PlaneSize);
            var result = _call.XGrad + (channels * sizes.PlaneSize);
            var means = _call.Means + (channels * strips.Pitch);
            var convolvedGrad = _call.ConvolvedGrad + (channels * strips.Pitch);

            for (var channel = 0; channel < strips.BlockChannels; channel++)
                strips.Means(x + (channel * sizes.PlaneSize), scratch.Masks, means + ((long)channel * strips.Pitch));
            strips.Convolve(means, first, scratch.Gradients);
            strips.Normalize(scratch.Gradients, scratch.Masks, scratch.Normalized, scratch.Inverses);
            strips.Gates(scratch.Normalized, first, scratch.Gates);

            for (var channel = 0; channel < strips.BlockChannels; channel++)
            {
                var (plane, strip) = (channel * sizes.PlaneSize, (long)channel * strips.Pitch);
                GateGradients(x + plane, g + plane, scratch.Gates + strip, scratch.Gradients + strip);
                ThroughSigmoid(scratch, strip, scratch.Sums + (4 * channel));
                _call.BiasParts[channels + channel] = scratch.Sums[4 * channel] + scratch.Sums[(4 * channel) + 2];
                _call.ScaleParts[channels + channel] = scratch.Sums[(4 * channel) + 1] + scratch.Sums[(4 * channel) + 3];
            }
            ThroughNormalization(scratch, first, convolvedGrad);
            if (_call.XGrad == null)
                return;
            strips.ConvolveBack(convolvedGrad, first, scratch.Gradients);
            for (var channel = 0; channel < strips.BlockChannels; channel++)
            {
                var (plane, strip) = (channel * sizes.PlaneSize, (long)channel * strips.Pitch);
                MapGradient(g + plane, scratch.Gates + strip, scratch.Gradients + strip, result + plane);
            }
        }

        // The gradients of the gates: sums of g x times the other gate.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void GateGradients(float* x, float* g, float* gates, float* gradients)
        {
            var strips = _call.Strips;
            var rows = gradients + strips.Rows;
            var columns = gradients + strips.Columns;
            var columnGates = gates + strips.Columns;
            new Span<float>(gradients, strips.Pitch).Clear();
            var (width, rest) = (_call.Sizes.Width, _call.Sizes.PlaneSize);
            for (var y = 0; y < _call.Sizes.Height; y++, x += width, g += width, rest -= width)
            {
                var (sum, gate) = (default(TVector), TSimd.Broadcast(gates[strips.Rows + y]));
                for (var i = 0; i < width; i += TSimd.Width)
                {
                    // The gates behind the columns are zero, and what is summed up behind the columns is not read.
                    var product = TSimd.Multiply(Lanes<TVector, TSimd>.Load(x + i, rest - i), Lanes<TVector, TSimd>.Load(g + i, rest - i));
                    sum = TSimd.MultiplyAdd(product, TSimd.Load(columnGates + i), sum);
                    TSimd.Store(TSimd.MultiplyAdd(product, gate, TSimd.Load(columns + i)), columns + i);
                }
                rows[y] = TSimd.Sum(sum);
            }
        }

        // Sums: of the gradients of the rows, of these times the normalised rows, then the same of the columns.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void ThroughSigmoid(in Buffers scratch, long strip, float* sums)
        {
            var strips = _call.Strips;
            var gates = scratch.Gates + strip;
            var gradients = scratch.Gradients + strip;
            var one = TSimd.Broadcast(1);
            for (var i = strips.Padding; i < strips.Padding + strips.Run; i += TSimd.Width)
            {
                var gate = TSimd.Load(gates + i);
                var slope = TSimd.Multiply(gate, TSimd.Subtract(one, gate));
                TSimd.Store(TSimd.Multiply(TSimd.Load(gradients + i), slope), gradients + i);
            }
            Sum(gradients + strips.Rows, scratch.Normalized + strip + strips.Rows, scratch.Masks, _call.Sizes.Height, sums);
            Sum(gradients + strips.Columns, scratch.Normalized + strip + strips.Columns, strips.ColumnMask(scratch.Masks),
                _call.Sizes.Width, sums + 2);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Sum(float* gradients, float* normalized, float* mask, int length, float* sums)
        {
            var (sum, weighted) = (default(TVector), default(TVector));
            for (var i = 0; i < length; i += TSimd.Width)
            {
                var gradient = TSimd.Multiply(TSimd.Load(gradients + i), TSimd.Load(mask + i));
                sum = TSimd.Add(sum, gradient);
                weighted = TSimd.MultiplyAdd(gradient, TSimd.Load(normalized + i), weighted);
            }
            sums[0] = TSimd.Sum(sum);
            sums[1] = TSimd.Sum(weighted);
        }

        private readonly void ThroughNormalization(in Buffers scratch, int first, float* convolvedGrad)
        {
            var (sizes, strips) = (_call.Sizes, _call.Strips);
            for (var group = 0; group < strips.NormGroups; group++)
            {
                var begin = group * sizes.ChannelsPerNormGroup;
                var end = (group + 1) * sizes.ChannelsPerNormGroup;
                Part(scratch, first, begin, end, 0, scratch.Inverses[2 * group], strips.Rows, sizes.Height, convolvedGrad);
                Part(scratch, first, begin, end, 2, scratch.Inverses[(2 * group) + 1], strips.Columns, sizes.Width, convolvedGrad);
            }
            for (var channel = 0; channel < strips.BlockChannels; channel++)
                strips.ClearPadding(convolvedGrad + ((long)channel * strips.Pitch));
        }

        // The rows or columns of one group.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Part(
            in Buffers scratch, int first, int begin, int end, int sums, float inverse, int start, int length, float* convolvedGrad)
        {
            var (mean, weighted) = (0f, 0f);
            for (var channel = begin; channel < end; channel++)
            {
                mean += _call.Scale[first + channel] * scratch.Sums[(4 * channel) + sums];
                weighted += _call.Scale[first + channel] * scratch.Sums[(4 * channel) + sums + 1];
            }
            var count = (float)length * (end - begin);
            var (shift, slope) = (TSimd.Broadcast(inverse * mean / count), TSimd.Broadcast(inverse * weighted / count));
            for (var channel = begin; channel < end; channel++)
            {
                var strip = ((long)channel * _call.Strips.Pitch) + start;
                var factor = TSimd.Broadcast(inverse * _call.Scale[first + channel]);
                // Vectors of the rows reach into the columns, which come later.
                for (var i = 0; i < length; i += TSimd.Width)
                {
                    var gradient = TSimd.Subtract(TSimd.Multiply(TSimd.Load(scratch.Gradients + strip + i), factor), shift);
                    var ofNormalized = TSimd.Multiply(TSimd.Load(scratch.Normalized + strip + i), slope);
                    TSimd.Store(TSimd.Subtract(gradient, ofNormalized), convolvedGrad + strip + i);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void MapGradient(float* g, float* gates, float* meanGrad, float* result)
        {
            var (sizes, strips) = (_call.Sizes, _call.Strips);
            var rest = sizes.PlaneSize;
            var ofColumn = TSimd.Broadcast(1f / sizes.Height);
            for (var y = 0; y < sizes.Height; y++, g += sizes.Width, result += sizes.Width, rest -= sizes.Width)
            {
                var gate = TSimd.Broadcast(gates[strips.Rows + y]);
                var ofRow = TSimd.Broadcast(meanGrad[strips.Rows + y] / sizes.Width);
                // Vectors reach into the next row, which is written after this one.
                for (var i = 0; i < sizes.Width; i += TSimd.Width)
                {
                    var gradient = Lanes<TVector, TSimd>.Load(g + i, rest - i);
                    var factor = TSimd.Multiply(gate, TSimd.Load(gates + strips.Columns + i));
                    var shift = TSimd.MultiplyAdd(TSimd.Load(meanGrad + strips.Columns + i), ofColumn, ofRow);
                    Lanes<TVector, TSimd>.Store(TSimd.MultiplyAdd(gradient, factor, shift), result + i, rest - i);
                }
            }
        }

        private readonly (Buffers Buffers, long Bytes) Scratch(void* memory)
        {
            var strips = _call.Strips;
            var partition = new Partition(memory);
            var buffers = new Buffers
            {
                Masks = partition.Take<float>(strips.MaskSize),
                Normalized = partition.Take<float>(strips.BlockSize),
                Gates = partition.Take<float>(strips.BlockSize),
                Gradients = partition.Take<float>(strips.BlockSize),
                Inverses = partition.Take<float>(2 * strips.NormGroups),
                Sums = partition.Take<float>(4 * strips.BlockChannels),
            };
            return (buffers, partition.Bytes);
        }
    }

    private struct ParameterWork(in Call call) : IParallelWork
    {
        private Call _call = call;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int channel)
        {
            var (sizes, strips) = (_call.Sizes, _call.Strips);
            var firstInput = channel / sizes.ChannelsPerGroup * sizes.ChannelsPerGroup;
            for (var input = 0; _call.WeightGrad != null && input < sizes.ChannelsPerGroup; input++)
            {
                var target = _call.WeightGrad + ((((long)channel * sizes.ChannelsPerGroup) + input) * sizes.Kernel);
                for (var tap = 0; tap < sizes.Kernel; tap++)
                    target[tap] = Products(channel, firstInput + input, tap);
            }
            if (_call.ScaleGrad != null)
                _call.ScaleGrad[channel] = Sum(_call.ScaleParts + channel);
            if (_call.BiasGrad != null)
                _call.BiasGrad[channel] = Sum(_call.BiasParts + channel);
        }

        private readonly float Sum(float* parts)
        {
            var sum = 0f;
            for (var image = 0; image < _call.Sizes.Batch; image++)
                sum += parts[(long)image * _call.Sizes.Channels];
            return sum;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly float Products(int output, int input, int tap)
        {
            var strips = _call.Strips;
            var sum = default(TVector);
            for (var image = 0; image < _call.Sizes.Batch; image++)
            {
                var channels = (long)image * _call.Sizes.Channels;
                var gradient = _call.ConvolvedGrad + ((channels + output) * strips.Pitch) + strips.Padding;
                var means = _call.Means + ((channels + input) * strips.Pitch) + tap;
                for (var i = 0; i < strips.Run; i += TSimd.Width)
                    sum = TSimd.MultiplyAdd(TSimd.Load(gradient + i), TSimd.Load(means + i), sum);
            }
            return TSimd.Sum(sum);
        }
    }

    private struct Buffers
    {
        public float* Masks;
        public float* Normalized;
        public float* Gates;

        /// <summary>What the convolution makes of the means; later gradients of the gates, at last of the means.</summary>
        public float* Gradients;

        /// <summary>[groups, 2]: what the rows and the columns of a group were multiplied by.</summary>
        public float* Inverses;

        /// <summary>[channels, 4], see ThroughSigmoid.</summary>
        public float* Sums;
    }
}
