namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Gradient rules of matrix products.</summary>
internal static class ProductGradients
{
    public static Value?[] MatMul(NodeGradient node)
    {
        var (leftSizes, rightSizes) = (node.Sizes(0), node.Sizes(1));
        // A vector on the left is a row, one on the right a column.
        long[] rows = leftSizes.Length == 1 ? [1, leftSizes[0]] : leftSizes;
        long[] columns = rightSizes.Length == 1 ? [rightSizes[0], 1] : rightSizes;
        var (left, right) = (node.Input(0).ReshapeTo(rows), node.Input(1).ReshapeTo(columns));
        var batch = ShapeInference.BroadcastShapes(Shape.Of(rows[..^2]), Shape.Of(columns[..^2]))!.ToArray();
        var gradient = node.Grad.ReshapeTo([.. batch, rows[^2], columns[^1]]);

        Value leftGradient, rightGradient;
        if (columns.Length == 2)
        {
            // One large product instead of many small ones.
            var all = gradient.ReshapeTo(gradient.Shape.ElementCount / columns[1], columns[1]);
            leftGradient = Gemm(all, right, transposeRight: true);
            rightGradient = Gemm(left.ReshapeTo(left.Shape.ElementCount / rows[^1], rows[^1]), all, transposeLeft: true);
        }
        else
        {
            leftGradient = gradient.MatMul(right.TransposeLast()).SumTo(left.Shape);
            rightGradient = left.TransposeLast().MatMul(gradient).SumTo(right.Shape);
        }
        return [leftGradient.ReshapeTo(leftSizes), rightGradient.ReshapeTo(rightSizes)];
    }

    public static Value?[] Gemm(NodeGradient node)
    {
        var (a, b, g) = (node.Input(0), node.Input(1), node.Grad);
        var alpha = node.Attributes.Float("alpha", 1);
        var transposeA = node.Attributes.Int("transA", 0) != 0;
        var transposeB = node.Attributes.Int("transB", 0) != 0;
        var aGradient = transposeA ? Gemm(b, g, transposeB, true, alpha) : Gemm(g, b, false, !transposeB, alpha);
        var bGradient = transposeB ? Gemm(g, a, true, transposeA, alpha) : Gemm(a, g, !transposeA, false, alpha);
        if (!node.HasInput(2))
            return [aGradient, bGradient];
        var beta = node.Attributes.Float("beta", 1);
        return [aGradient, bGradient, node.SumTo(2, beta == 1 ? g : g * beta)];
    }

    /// <summary>The gradient of a factor is the product of the output's gradient and the other factors.</summary>
    public static Value?[] Einsum(NodeGradient node)
    {
        var equation = node.Attributes.String("equation", "").Replace(" ", "");
        var sides = equation.Split("->");
        var terms = sides[0].Split(',');
        if (sides.Length != 2 || equation.Contains('.') || terms.Any(term => term.Distinct().Count() != term.Length))
            throw node.Unsupported($"equation '{equation}' (needs an explicit result, no ellipsis, no repeated label in a factor)");
        var gradients = new Value?[terms.Length];
        for (var i = 0; i < terms.Length; i++)
        {
            var others = Enumerable.Range(0, terms.Length).Where(other => other != i).ToArray();
            var known = sides[1] + string.Concat(others.Select(other => terms[other]));
            // A label that only this factor has is summed over: its gradient is the same at all positions.
            var kept = string.Concat(terms[i].Where(known.Contains));
            var product = node.Builder.Op("Einsum", [node.Grad, .. others.Select(node.Input)], new()
            {
                ["equation"] = string.Join(',', others.Select(other => terms[other]).Prepend(sides[1])) + "->" + kept,
            });
            var sizes = node.Sizes(i);
            gradients[i] = product.ReshapeTo([.. sizes.Select((size, axis) => kept.Contains(terms[i][axis]) ? size : 1)])
                .ExpandTo(node.Input(i).Shape);
        }
        return gradients;
    }

    /// <summary>The product of two matrices, either transposed on the way.</summary>
    public static Value Gemm(Value left, Value right, bool transposeLeft = false, bool transposeRight = false, float alpha = 1) =>
        left.Builder.Op("Gemm", [left, right], new() { ["transA"] = transposeLeft, ["transB"] = transposeRight, ["alpha"] = alpha });
}
