using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

internal static partial class ReferenceEvaluator
{
    private static ReferenceArray MatMul(ReferenceArray left, ReferenceArray right)
    {
        var a = left.Rank == 1 ? left.Reshape(1, left.Dims[0]) : left;
        var b = right.Rank == 1 ? right.Reshape(right.Dims[0], 1) : right;
        var batch = BroadcastDims(a.Dims[..^2], b.Dims[..^2]);
        var (m, inner, n) = (a.Dims[^2], a.Dims[^1], b.Dims[^1]);
        var product = ReferenceArray.Zeros([.. batch, m, n]);
        var offset = 0;
        foreach (var index in ReferenceArray.Indices(batch))
        {
            var (x, y) = (Start(a, index) * m * inner, Start(b, index) * inner * n);
            for (var i = 0; i < m; i++)
            {
                for (var k = 0; k < inner; k++)
                {
                    for (var j = 0; j < n; j++)
                        product.Data[offset + (i * n) + j] += a.Data[x + (i * inner) + k] * b.Data[y + (k * n) + j];
                }
            }
            offset += m * n;
        }
        int[] dims = [.. batch, .. left.Rank == 1 ? Array.Empty<int>() : [m], .. right.Rank == 1 ? Array.Empty<int>() : [n]];
        return product.Reshape(dims);

        static int Start(ReferenceArray x, int[] index)
        {
            var start = 0;
            var outer = x.Dims[..^2];
            for (var axis = 0; axis < outer.Length; axis++)
                start = (start * outer[axis]) + (outer[axis] == 1 ? 0 : index[axis + index.Length - outer.Length]);
            return start;
        }
    }

    private static ReferenceArray Gemm(Call call)
    {
        var a = call.Attributes.Int("transA", 0) != 0 ? call[0].Transpose(1, 0) : call[0];
        var b = call.Attributes.Int("transB", 0) != 0 ? call[1].Transpose(1, 0) : call[1];
        var product = Scale(MatMul(a, b), call.Attributes.Float("alpha", 1));
        return call.Has(2) ? Elementwise(product, Scale(call[2], call.Attributes.Float("beta", 1)), (x, y) => x + y) : product;
    }

    private static ReferenceArray Einsum(Call call)
    {
        var sides = call.Attributes.String("equation", "").Replace(" ", "").Split("->");
        var terms = sides[0].Split(',');
        var labels = (sides[1] + string.Concat(terms)).Distinct().ToArray();
        var sizes = labels.Select(label => call.Inputs.Zip(terms).First(pair => pair.Second.Contains(label)) is var (input, term)
            ? input!.Dims[term.IndexOf(label)] : 0).ToArray();
        var result = ReferenceArray.Zeros([.. sides[1].Select(label => sizes[Array.IndexOf(labels, label)])]);
        foreach (var index in ReferenceArray.Indices(sizes))
        {
            int[] At(string term) => [.. term.Select(label => index[Array.IndexOf(labels, label)])];
            result[At(sides[1])] += call.Inputs.Zip(terms).Aggregate(1.0, (product, pair) => product * pair.First![At(pair.Second)]);
        }
        return result;
    }

    private sealed class Places
    {
        public Places(Call call, int[] input, int[] kernel, int[]? output = null)
        {
            var rank = input.Length;
            (Kernel, Input) = (kernel, input);
            Strides = call.Ints("strides", 99) ?? [.. input.Select(_ => 1)];
            Dilations = call.Ints("dilations", 99) ?? [.. input.Select(_ => 1)];
            Pads = call.Ints("pads", 99) ?? new int[2 * rank];
            var auto = call.Attributes.String("auto_pad", "NOTSET");
            Output = new int[rank];
            for (var i = 0; i < rank; i++)
            {
                var extent = ((kernel[i] - 1) * Dilations[i]) + 1;
                if (auto.StartsWith("SAME", StringComparison.Ordinal))
                {
                    Output[i] = (input[i] + Strides[i] - 1) / Strides[i];
                    var total = Math.Max(0, ((Output[i] - 1) * Strides[i]) + extent - input[i]);
                    Pads[i] = auto == "SAME_UPPER" ? total / 2 : total - (total / 2);
                    Pads[i + rank] = total - Pads[i];
                    continue;
                }
                var room = input[i] + Pads[i] + Pads[i + rank] - extent;
                Output[i] = (room / Strides[i]) + 1;
                if (call.Attributes.Int("ceil_mode", 0) != 0 && room % Strides[i] != 0 && Output[i] * Strides[i] < input[i] + Pads[i])
                    Output[i]++;
            }
            Output = output ?? Output;
        }

        public int[] Input { get; }

        public int[] Kernel { get; }

        public int[] Output { get; }

        public int[] Strides { get; }

        public int[] Dilations { get; }

        public int[] Pads { get; }

        public int[] Position(int[] place, int[] tap) =>
            [.. place.Select((at, i) => (at * Strides[i]) + (tap[i] * Dilations[i]) - Pads[i])];

        public bool IsInside(int[] position, bool orPadding = false)
        {
            for (var i = 0; i < position.Length; i++)
            {
                if (position[i] < 0 && !orPadding)
                    return false;
                if (position[i] >= Input[i] + (orPadding ? Pads[i + position.Length] : 0))
                    return false;
            }
            return true;
        }
    }

    private static ReferenceArray Conv(Call call)
    {
        var (x, weight) = (call[0], call[1]);
        var group = (int)call.Attributes.Int("group", 1);
        var places = new Places(call, x.Dims[2..], weight.Dims[2..]);
        var perGroup = weight.Dims[0] / group;
        return ReferenceArray.Build([x.Dims[0], weight.Dims[0], .. places.Output], x.Type, index =>
        {
            var sum = call.Has(2) ? call[2].Data[index[1]] : 0;
            foreach (var tap in ReferenceArray.Indices(places.Kernel))
            {
                var position = places.Position(index[2..], tap);
                if (!places.IsInside(position))
                    continue;
                for (var c = 0; c < weight.Dims[1]; c++)
                    sum += weight[[index[1], c, .. tap]] * x[[index[0], (index[1] / perGroup * weight.Dims[1]) + c, .. position]];
            }
            return sum;
        });
    }

    private static ReferenceArray ConvTranspose(Call call)
    {
        var (x, weight) = (call[0], call[1]);
        var group = (int)call.Attributes.Int("group", 1);
        var rank = x.Rank - 2;
        var kernel = weight.Dims[2..];
        var strides = call.Ints("strides", 99) ?? [.. kernel.Select(_ => 1)];
        var dilations = call.Ints("dilations", 99) ?? [.. kernel.Select(_ => 1)];
        var pads = call.Ints("pads", 99) ?? new int[2 * rank];
        var extra = call.Ints("output_padding", 99) ?? new int[rank];
        var keepsSize = call.Attributes.String("auto_pad", "NOTSET").StartsWith("SAME", StringComparison.Ordinal);
        var size = Enumerable.Range(0, rank).Select(i => keepsSize ? x.Dims[i + 2] * strides[i] :
            (strides[i] * (x.Dims[i + 2] - 1)) + extra[i] + ((kernel[i] - 1) * dilations[i]) + 1 - pads[i] - pads[i + rank]).ToArray();
        var places = new Places(call, size, kernel, x.Dims[2..]);
        var perGroup = x.Dims[1] / group;
        var result = ReferenceArray.Build([x.Dims[0], weight.Dims[1] * group, .. size], x.Type, index =>
            call.Has(2) ? call[2].Data[index[1]] : 0);
        foreach (var index in ReferenceArray.Indices(x.Dims))
        {
            foreach (var tap in ReferenceArray.Indices(kernel))
            {
                var position = places.Position(index[2..], tap);
                if (!places.IsInside(position))
                    continue;
                for (var m = 0; m < weight.Dims[1]; m++)
                    result[[index[0], (index[1] / perGroup * weight.Dims[1]) + m, .. position]] += x[index] * weight[[index[1], m, .. tap]];
            }
        }
        return result;
    }

    private static ReferenceArray[] Pool(Call call)
    {
        var x = call[0];
        var places = new Places(call, x.Dims[2..], call.Ints("kernel_shape", 99)!);
        var isMax = call.Node.OpType == "MaxPool";
        var countsPadding = call.Attributes.Int("count_include_pad", 0) != 0;
        int[] dims = [x.Dims[0], x.Dims[1], .. places.Output];
        var indices = ReferenceArray.Build(dims, TensorElementType.Int64, _ => 0);
        var result = ReferenceArray.Build(dims, x.Type, index =>
        {
            var (best, sum, count) = (double.NegativeInfinity, 0.0, 0);
            foreach (var tap in ReferenceArray.Indices(places.Kernel))
            {
                var position = places.Position(index[2..], tap);
                if (countsPadding && places.IsInside(position, orPadding: true))
                    count++;
                if (!places.IsInside(position))
                    continue;
                count += countsPadding ? 0 : 1;
                var offset = x.Offset([index[0], index[1], .. position]);
                sum += x.Data[offset];
                if (x.Data[offset] > best)
                {
                    best = x.Data[offset];
                    indices[index] = offset;
                }
            }
            return isMax ? best : sum / count;
        });
        return [result, indices];
    }

    private static ReferenceArray Resize(Call call)
    {
        var x = call[0];
        var axes = call.Ints("axes", 99) ?? [.. Enumerable.Range(0, x.Rank)];
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = Wrap(axes[i], x.Rank);
            var byScale = call.Has(2) && call[2].Data.Length > 0;
            var size = byScale ? (int)Math.Floor(x.Dims[axis] * call[2].Data[i]) : (int)call[3].Data[i];
            var scale = byScale ? call[2].Data[i] : (double)size / x.Dims[axis];
            if (scale != 1)
                x = ResizeAxis(call.Attributes, x, axis, size, scale);
        }
        return x;
    }

    private static ReferenceArray ResizeAxis(Attributes attributes, ReferenceArray x, int axis, int size, double scale)
    {
        var length = x.Dims[axis];
        var dims = (int[])x.Dims.Clone();
        dims[axis] = size;
        return ReferenceArray.Build(dims, x.Type, index =>
        {
            var i = index[axis];
            var at = attributes.String("coordinate_transformation_mode", "half_pixel") switch
            {
                "half_pixel" => ((i + 0.5) / scale) - 0.5,
                "align_corners" => (double)i * (length - 1) / (size - 1),
                "asymmetric" => i / scale,
                var mode => throw new NotSupportedException(mode),
            };
            var source = (int[])index.Clone();
            double Element(int position)
            {
                source[axis] = Math.Clamp(position, 0, length - 1);
                return x[source];
            }
            var low = (int)Math.Floor(at);
            var t = at - low;
            switch (attributes.String("mode", "nearest"))
            {
                case "nearest":
                    return Element(attributes.String("nearest_mode", "round_prefer_floor") == "floor" ? low : (int)Math.Ceiling(at - 0.5));
                case "linear" when attributes.Int("antialias", 0) == 0:
                    return ((1 - t) * Element(low)) + (t * Element(low + 1));
                case "linear":
                    var (total, sum) = (0.0, 0.0);
                    for (var position = -length; position < 2 * length; position++)
                    {
                        var weight = Math.Max(0, 1 - Math.Abs((position - at) * Math.Min(1, scale)));
                        (total, sum) = (total + weight, sum + (weight * Element(position)));
                    }
                    return sum / total;
                default:
                    double a = attributes.Float("cubic_coeff_a", -0.75f);
                    double Near(double d) => (((a + 2) * d * d * d) - ((a + 3) * d * d)) + 1;
                    double Far(double d) => (a * d * d * d) - (5 * a * d * d) + (8 * a * d) - (4 * a);
                    return (Far(1 + t) * Element(low - 1)) + (Near(t) * Element(low)) + (Near(1 - t) * Element(low + 1))
                        + (Far(2 - t) * Element(low + 2));
            }
        });
    }
}
