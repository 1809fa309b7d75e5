namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>The part of a training graph that takes gradients to the next parameters.</summary>
/// <param name="builder">Extends the graph; its inputs include the state.</param>
/// <param name="optimizer">Tells the limit of the gradient and the average.</param>
/// <param name="groups">The groups of parameters.</param>
internal sealed class ParameterUpdate(GraphBuilder builder, Optimizer optimizer, IReadOnlyList<ParameterGroup> groups)
{
    /// <summary>Adds the outputs of the next parameters, moments and averages.</summary>
    /// <param name="gradients">The gradients [P] of each group.</param>
    /// <param name="step">What the host tells of the step.</param>
    /// <param name="scale">What <see cref="GradientScale"/> made.</param>
    public void Add(Value[] gradients, Value step, Value? scale)
    {
        for (var i = 0; i < groups.Count; i++)
            Add(i, gradients[i], step, scale);
    }

    /// <summary>
    /// What the gradients are to be multiplied by: takes back what they are scaled by and limits the norm as
    /// torch.nn.utils.clip_grad_norm_ does. NaN where a gradient is not finite and a limit or a scale of the loss shows it. Null for 1.
    /// </summary>
    /// <param name="gradients">The gradients [P] of each group.</param>
    /// <param name="lossScale">What the losses were multiplied by; null for 1.</param>
    /// <param name="batchCount">The number of batches whose gradients were added.</param>
    public Value? GradientScale(Value[] gradients, Value? lossScale, int batchCount)
    {
        var factor = batchCount == 1 ? lossScale
            : lossScale is null ? builder.Scalar(batchCount, gradients[0])
            : lossScale * batchCount;
        if (optimizer.ClipNorm is null && lossScale is null)
            return factor is null ? null : 1 / factor;
        var squares = gradients.Select(gradient => gradient.Reduce("ReduceSumSquare", [0], keepDims: false))
            .Aggregate((sum, part) => sum + part);
        var scale = builder.Scalar(1, squares);
        if (optimizer.ClipNorm is { } limit)
        {
            var norm = squares.Apply("Sqrt");
            if (factor is not null)
                norm /= factor;
            scale = builder.Op("Min", [limit / (norm + 1e-6), scale]);
        }
        if (factor is not null)
            scale /= factor;
        // Adds 0 to a finite scale; infinity less infinity is NaN.
        return scale + (squares - squares);
    }

    /// <summary>The next value, or the old one where the gradients' scale is NaN.</summary>
    public static Value Unless(Value? scale, Value old, Value next) => scale is null ? next : scale.Apply("IsNaN").Where(old, next);

    private void Add(int index, Value gradient, Value step, Value? scale)
    {
        string[] names =
            [TrainingGraph.WeightsOf(index), .. groups[index].Optimizer.Moments.Select(moment => TrainingGraph.MomentOf(index, moment))];
        var state = Array.ConvertAll(names, name => builder[name]);
        var next = groups[index].Optimizer.Update(state[0], gradient, state[1..], scale, step, groups[index]);
        for (var i = 0; i < names.Length; i++)
            builder.Output(names[i] + TrainingGraph.NextSuffix, next[i]);
        if (optimizer.AverageDecay is { } decay)
        {
            var average = builder[TrainingGraph.AverageOf(index)];
            builder.Output(TrainingGraph.AverageOf(index) + TrainingGraph.NextSuffix,
                Unless(scale, average, average + ((next[0] - average) * (1 - (double)decay))));
        }
    }
}
