using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

internal static partial class ReferenceEvaluator
{
    private static ReferenceArray Reshape(Call call)
    {
        var x = call[0];
        var dims = call.Ints("", 1)!;
        if (call.Attributes.Int("allowzero", 0) == 0)
            dims = [.. dims.Select((dim, axis) => dim == 0 ? x.Dims[axis] : dim)];
        var open = Array.IndexOf(dims, -1);
        if (open >= 0)
            dims[open] = x.Data.Length / ReferenceArray.Count(dims.Where((_, axis) => axis != open));
        Assert.Equal(x.Data.Length, ReferenceArray.Count(dims));
        return x.Reshape(dims);
    }

    private static ReferenceArray Squeeze(Call call)
    {
        var x = call[0];
        var axes = call.Ints("axes", 1)?.Select(axis => Wrap(axis, x.Rank)).ToArray();
        return x.Reshape([.. x.Dims.Where((dim, axis) => axes is null ? dim != 1 : !axes.Contains(axis))]);
    }

    private static ReferenceArray Unsqueeze(Call call)
    {
        var axes = call.Ints("axes", 1)!;
        var rank = call[0].Rank + axes.Length;
        var added = axes.Select(axis => Wrap(axis, rank)).ToHashSet();
        var rest = new Queue<int>(call[0].Dims);
        return call[0].Reshape([.. Enumerable.Range(0, rank).Select(axis => added.Contains(axis) ? 1 : rest.Dequeue())]);
    }

    private static ReferenceArray Concat(Call call)
    {
        var axis = call.Axis(0, call[0].Rank);
        var dims = (int[])call[0].Dims.Clone();
        dims[axis] = call.Inputs.Sum(part => part!.Dims[axis]);
        return ReferenceArray.Build(dims, call[0].Type, index =>
        {
            var source = (int[])index.Clone();
            foreach (var part in call.Inputs)
            {
                if (source[axis] < part!.Dims[axis])
                    return part[source];
                source[axis] -= part.Dims[axis];
            }
            throw new InvalidOperationException();
        });
    }

    private static ReferenceArray[] Split(Call call)
    {
        var x = call[0];
        var axis = call.Axis(0, x.Rank);
        var count = call.Node.Outputs.Count;
        var part = (x.Dims[axis] + count - 1) / count;
        var sizes = call.Ints("split", 1) ?? [.. Enumerable.Range(0, count).Select(i => Math.Min(part, x.Dims[axis] - (i * part)))];
        var start = 0;
        return Array.ConvertAll(sizes, size =>
        {
            var from = start;
            start += size;
            var dims = (int[])x.Dims.Clone();
            dims[axis] = size;
            return Pick(x, dims, (index, source) => source[axis] = index[axis] + from);
        });
    }

    private static ReferenceArray Slice(Call call)
    {
        var x = call[0];
        var (starts, ends) = (call.Ints("starts", 1)!, call.Ints("ends", 2)!);
        var axes = call.Ints("axes", 3) ?? [.. Enumerable.Range(0, starts.Length)];
        var steps = call.Ints("steps", 4) ?? [.. starts.Select(_ => 1)];
        var positions = x.Dims.Select(dim => Enumerable.Range(0, dim).ToArray()).ToArray();
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = Wrap(axes[i], x.Rank);
            var size = x.Dims[axis];
            long start = starts[i] < 0 ? (long)starts[i] + size : starts[i];
            long end = ends[i] < 0 ? (long)ends[i] + size : ends[i];
            var picked = new List<int>();
            if (steps[i] > 0)
            {
                for (var at = Math.Clamp(start, 0, size); at < Math.Min(end, size); at += steps[i])
                    picked.Add((int)at);
            }
            else
            {
                for (var at = Math.Clamp(start, -1, size - 1); at > Math.Max(end, -1); at += steps[i])
                    picked.Add((int)at);
            }
            positions[axis] = [.. picked];
        }
        return Pick(x, [.. positions.Select(list => list.Length)], (index, source) =>
        {
            for (var axis = 0; axis < source.Length; axis++)
                source[axis] = positions[axis][index[axis]];
        });
    }

    private static ReferenceArray Pad(Call call)
    {
        var x = call[0];
        var pads = call.Ints("pads", 1)!;
        var axes = call.Ints("axes", 3)?.Select(axis => Wrap(axis, x.Rank)).ToArray() ?? [.. Enumerable.Range(0, x.Rank)];
        var fill = call.Has(2) ? call[2].Data[0] : 0;
        var mode = call.Attributes.String("mode", "constant");
        var before = new int[x.Rank];
        var dims = (int[])x.Dims.Clone();
        for (var i = 0; i < axes.Length; i++)
        {
            before[axes[i]] = pads[i];
            dims[axes[i]] += pads[i] + pads[i + axes.Length];
        }
        var source = new int[x.Rank];
        return ReferenceArray.Build(dims, x.Type, index =>
        {
            for (var axis = 0; axis < x.Rank; axis++)
            {
                var (at, size) = (index[axis] - before[axis], x.Dims[axis]);
                if (mode == "constant" && (at < 0 || at >= size))
                    return fill;
                while (at < 0 || at >= size)
                {
                    at = mode switch
                    {
                        "edge" => Math.Clamp(at, 0, size - 1),
                        "wrap" => at < 0 ? at + size : at - size,
                        _ => at < 0 ? -at : (2 * (size - 1)) - at,
                    };
                }
                source[axis] = at;
            }
            return x[source];
        });
    }

    private static ReferenceArray Expand(ReferenceArray x, int[] dims) =>
        ReferenceArray.Build(BroadcastDims(x.Dims, dims), x.Type, x.Broadcast);

    private static ReferenceArray Tile(ReferenceArray x, int[] repeats) =>
        Pick(x, [.. x.Dims.Zip(repeats, (dim, repeat) => dim * repeat)], (index, source) =>
        {
            for (var axis = 0; axis < source.Length; axis++)
                source[axis] = index[axis] % x.Dims[axis];
        });

    private static ReferenceArray Gather(Call call)
    {
        var (x, indices) = (call[0], call[1]);
        var axis = call.Axis(0, x.Rank);
        return ReferenceArray.Build([.. x.Dims[..axis], .. indices.Dims, .. x.Dims[(axis + 1)..]], x.Type, index =>
            x[[.. index[..axis], Wrap((int)indices[index[axis..(axis + indices.Rank)]], x.Dims[axis]), .. index[(axis + indices.Rank)..]]]);
    }

    private static ReferenceArray GatherElements(Call call)
    {
        var (x, indices) = (call[0], call[1]);
        var axis = call.Axis(0, x.Rank);
        return ReferenceArray.Build(indices.Dims, x.Type, index =>
        {
            var source = (int[])index.Clone();
            source[axis] = Wrap((int)indices[index], x.Dims[axis]);
            return x[source];
        });
    }

    private static ReferenceArray GatherND(Call call)
    {
        var (x, indices) = (call[0], call[1]);
        var batch = (int)call.Attributes.Int("batch_dims", 0);
        var depth = indices.Dims[^1];
        return ReferenceArray.Build([.. indices.Dims[..^1], .. x.Dims[(batch + depth)..]], x.Type, index =>
        {
            var picked = Enumerable.Range(0, depth).Select(i => Wrap((int)indices[[.. index[..(indices.Rank - 1)], i]], x.Dims[batch + i]));
            return x[[.. index[..batch], .. picked, .. index[(indices.Rank - 1)..]]];
        });
    }

    private static ReferenceArray ScatterElements(Call call)
    {
        var (x, indices, updates) = (call[0], call[1], call[2]);
        var axis = call.Axis(0, x.Rank);
        var add = call.Attributes.String("reduction", "none") == "add";
        var result = x with { Data = (double[])x.Data.Clone() };
        foreach (var index in ReferenceArray.Indices(indices.Dims))
        {
            var target = (int[])index.Clone();
            target[axis] = Wrap((int)indices[index], x.Dims[axis]);
            result[target] = updates[index] + (add ? result[target] : 0);
        }
        return result;
    }

    private static ReferenceArray ScatterND(Call call)
    {
        var (x, indices, updates) = (call[0], call[1], call[2]);
        var add = call.Attributes.String("reduction", "none") == "add";
        var result = x with { Data = (double[])x.Data.Clone() };
        foreach (var index in ReferenceArray.Indices(updates.Dims))
        {
            var outer = index[..(indices.Rank - 1)];
            var placed = Enumerable.Range(0, indices.Dims[^1]).Select(i => Wrap((int)indices[[.. outer, i]], x.Dims[i]));
            int[] target = [.. placed, .. index[outer.Length..]];
            result[target] = updates[index] + (add ? result[target] : 0);
        }
        return result;
    }

    private static ReferenceArray[] TopK(Call call)
    {
        var x = call[0];
        var axis = call.Axis(-1, x.Rank);
        var dims = (int[])x.Dims.Clone();
        dims[axis] = (int)call[1].Data[0];
        var sign = call.Attributes.Int("largest", 1) != 0 ? -1 : 1;
        var indices = ReferenceArray.Build(dims, TensorElementType.Int64, index =>
        {
            var source = (int[])index.Clone();
            return Enumerable.Range(0, x.Dims[axis]).OrderBy(at =>
            {
                source[axis] = at;
                return sign * x[source];
            }).ElementAt(index[axis]);
        });
        return [Pick(x, dims, (index, source) => source[axis] = (int)indices[index]), indices];
    }

    private static ReferenceArray Trilu(Call call)
    {
        var x = call[0];
        var k = call.Has(1) ? (int)call[1].Data[0] : 0;
        var upper = call.Attributes.Int("upper", 1) != 0;
        return ReferenceArray.Build(x.Dims, x.Type, index =>
            (upper ? index[^1] - index[^2] >= k : index[^1] - index[^2] <= k) ? x[index] : 0);
    }

    private static ReferenceArray Blocks(Call call)
    {
        var x = call[0];
        var block = (int)call.Attributes.Int("blocksize");
        var (n, c, h, w) = (x.Dims[0], x.Dims[1], x.Dims[2], x.Dims[3]);
        if (call.Node.OpType == "SpaceToDepth")
        {
            return x.Reshape(n, c, h / block, block, w / block, block).Transpose(0, 3, 5, 1, 2, 4)
                .Reshape(n, c * block * block, h / block, w / block);
        }
        var depth = c / (block * block);
        var parts = call.Attributes.String("mode", "DCR") == "DCR"
            ? x.Reshape(n, block, block, depth, h, w).Transpose(0, 3, 4, 1, 5, 2)
            : x.Reshape(n, depth, block, block, h, w).Transpose(0, 1, 4, 2, 5, 3);
        return parts.Reshape(n, depth, h * block, w * block);
    }

    // Elements of a source at a position that is, except for what is changed, that of the result.
    private static ReferenceArray Pick(ReferenceArray x, int[] dims, Action<int[], int[]> move)
    {
        var source = new int[x.Rank];
        return ReferenceArray.Build(dims, x.Type, index =>
        {
            index.CopyTo(source, 0);
            move(index, source);
            return x[source];
        });
    }
}
