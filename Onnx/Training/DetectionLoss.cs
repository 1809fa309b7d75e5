using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>
/// The loss of Plain DETR with hybrid matching. Each layer's predictions are matched to the targets one to one at the least cost; the
/// auxiliary queries to several copies of each; the proposals to the targets as objects of no particular class. The matches are part of
/// the graph, so that a step needs one forward pass only.
/// <para>Source: Lin et al., "DETR Does Not Need Multi-Scale or Locality Design", ICCV 2023 (arXiv 2308.01904), repository
/// impiga/Plain-DETR.</para>
/// </summary>
/// <param name="config">The model's hyper-parameters.</param>
/// <param name="targets">What is to be detected.</param>
/// <param name="copyCount">How many auxiliary queries each target is matched to.</param>
internal sealed class DetectionLoss(PlainDetrConfig config, DetectionTargets targets, int copyCount)
{
    private const double ClassWeight = 2, OverlapWeight = 2, FocalAlpha = 0.25;

    private double BoxWeight => config.IsReparameterized ? 1 : 5;

    /// <summary>All terms, by the names of the published code: <c>loss_ce</c>, <c>loss_bbox_0_one2many</c>, ...</summary>
    public Dictionary<string, Value> Terms { get; } = [];

    /// <summary>The queries that the targets are matched to by the last layer, [N, T].</summary>
    public Value? LastMatch { get; private set; }

    /// <summary>The auxiliary queries that the copies of the targets are matched to by the last layer, [N, copies T].</summary>
    public Value? LastAuxiliaryMatch { get; private set; }

    /// <summary>The weighted sum of all terms.</summary>
    /// <param name="outputs">The outputs of <see cref="PlainDetr.BuildForTraining"/>.</param>
    public Value Of(IReadOnlyDictionary<string, Value> outputs)
    {
        var layers = Enumerable.Range(0, config.LayerCount).Select(layer => Predictions(outputs, $"layer{layer}")).ToArray();
        var total = OfGroup(layers.Select(layer => Queries(layer, 0, config.QueryCount)), targets, config.ClassCount, Layer);
        var proposals = Predictions(outputs, "proposals");
        total += OfGroup([proposals], targets.AsObjects(), config.ClassCount, _ => "_enc");
        if (config.AuxiliaryQueryCount > 0)
        {
            var auxiliary = layers.Select(layer => Queries(layer, config.QueryCount, config.QueryCount + config.AuxiliaryQueryCount));
            total += OfGroup(auxiliary, targets.Repeat(copyCount), config.ClassCount, layer => Layer(layer) + "_one2many");
        }
        return total;

        string Layer(int layer) => layer == config.LayerCount - 1 ? "" : $"_{layer}";
    }

    private Value OfGroup(IEnumerable<BoxPredictions> predictions, DetectionTargets targets, int classCount, Func<int, string> suffix)
    {
        var layers = predictions.ToArray();
        var builder = layers[0].Boxes.Builder;
        // The matches of all layers in one call.
        var costs = builder.Concat(0, [.. layers.Select(layer => Cost(layer, targets, classCount))]);
        var counts = builder.Concat(0, [.. layers.Select(_ => targets.Count)]);
        var batch = targets.Count.Shape[0].Value;
        var matches = LinearAssignment.Apply(costs, counts);
        var number = builder.Op("Max", [targets.Count.ReduceSum([0]).Cast(TensorElementType.Float), builder.Constant(Tensor.Scalar(1f))]);
        Value? total = null;
        for (var i = 0; i < layers.Length; i++)
        {
            var match = matches.Slice(0, i * batch, (i + 1) * batch);
            if (suffix(i).Length == 0)
                LastMatch = match;
            else if (suffix(i) == "_one2many")
                LastAuxiliaryMatch = match;
            var places = builder.Op("Max", [match, builder.Constant(Tensor.Scalar(0L))]).Unsqueeze(2);
            var (classLoss, boxLoss, overlapLoss) = (
                ClassLoss(layers[i].Logits, match, targets, classCount) / number,
                Masked(BoxDistance(Picked(layers[i], places), targets.Boxes), targets) / number,
                Masked(1 - BoxOverlap.Generalized(Pick(layers[i].Boxes, places), targets.Boxes), targets) / number);
            Terms["loss_ce" + suffix(i)] = classLoss;
            Terms["loss_bbox" + suffix(i)] = boxLoss;
            Terms["loss_giou" + suffix(i)] = overlapLoss;
            var sum = (classLoss * ClassWeight) + (boxLoss * BoxWeight) + (overlapLoss * OverlapWeight);
            total = total is null ? sum : total + sum;
        }
        return total!;
    }

    // [N, Q, T]
    private Value Cost(BoxPredictions predictions, DetectionTargets targets, int classCount)
    {
        var probability = predictions.Logits.Apply("Sigmoid");
        var found = Square(1 - probability) * -(probability + 1e-8).Apply("Log") * FocalAlpha;
        var missed = Square(probability) * -((1 - probability) + 1e-8).Apply("Log") * (1 - FocalAlpha);
        var classCost = (found - missed).MatMul(targets.OneHot(classCount).Transpose(0, 2, 1));
        var pairs = new BoxPredictions(
            predictions.Logits, predictions.Boxes.Unsqueeze(2), predictions.Deltas.Unsqueeze(2), predictions.Previous.Unsqueeze(2));
        var targetBoxes = targets.Boxes.Unsqueeze(1);
        return StopGradient.Apply((classCost * ClassWeight) + (BoxDistance(pairs, targetBoxes) * BoxWeight)
            - (BoxOverlap.Generalized(pairs.Boxes, targetBoxes) * OverlapWeight));
    }

    // The sum of the differences of the four numbers, of boxes or of what changes the box before into the target.
    private Value BoxDistance(BoxPredictions predictions, Value targetBoxes)
    {
        var difference = config.IsReparameterized
            ? predictions.Deltas - BoxCoding.Encode(predictions.Previous, targetBoxes)
            : predictions.Boxes - targetBoxes;
        return difference.Apply("Abs").ReduceSum([-1]);
    }

    // Focal loss, summed.
    private static Value ClassLoss(Value logits, Value match, DetectionTargets targets, int classCount)
    {
        var builder = logits.Builder;
        var queries = builder.Int64([.. Enumerable.Range(0, (int)logits.Shape[1].Value).Select(query => (long)query)]);
        var isMatched = builder.Op("Equal", [queries.Unsqueeze(0, 2), match.Unsqueeze(1)]).Cast(TensorElementType.Float);
        var truth = isMatched.MatMul(targets.OneHot(classCount));
        var probability = logits.Apply("Sigmoid");
        var crossEntropy = logits.Apply("Softplus") - (logits * truth);
        var mistake = probability + truth - (probability * truth * 2);
        var weight = (truth * ((2 * FocalAlpha) - 1)) + (1 - FocalAlpha);
        return (crossEntropy * Square(mistake) * weight).ReduceSum([0, 1, 2]);
    }

    private static Value Masked(Value losses, DetectionTargets targets) => (losses * targets.IsPresent).ReduceSum([0, 1]);

    private static BoxPredictions Queries(BoxPredictions layer, int from, int to) => new(
        layer.Logits.Slice(1, from, to), layer.Boxes.Slice(1, from, to), layer.Deltas.Slice(1, from, to),
        layer.Previous.Slice(1, from, to));

    private static BoxPredictions Picked(BoxPredictions layer, Value places) =>
        new(layer.Logits, Pick(layer.Boxes, places), Pick(layer.Deltas, places), Pick(layer.Previous, places));

    private static Value Pick(Value values, Value places) =>
        values.Builder.Op("GatherND", [values, places], new() { ["batch_dims"] = 1 });

    private static BoxPredictions Predictions(IReadOnlyDictionary<string, Value> outputs, string stage) =>
        new(outputs[stage + "/logits"], outputs[stage + "/boxes"], outputs[stage + "/deltas"], outputs[stage + "/previous"]);

    private static Value Square(Value value) => value * value;
}

/// <summary>The objects in each image of a batch; T is the most that an image may have.</summary>
/// <param name="Boxes">
/// Centre x and y, width and height, [N, T, 4], as the model predicts them: in pixels or in parts of the image. Those of absent targets
/// are any boxes of positive size.
/// </param>
/// <param name="Classes">[N, T] int64</param>
/// <param name="Count">The number of objects in each image, which come first, [N] int64.</param>
internal sealed record DetectionTargets(Value Boxes, Value Classes, Value Count)
{
    /// <summary>1 for targets, 0 for the places behind them, [N, T].</summary>
    public Value IsPresent
    {
        get
        {
            var builder = Boxes.Builder;
            var places = builder.Int64([.. Enumerable.Range(0, (int)Boxes.Shape[1].Value).Select(place => (long)place)]);
            return builder.Op("Less", [places.Unsqueeze(0), Count.Unsqueeze(1)]).Cast(TensorElementType.Float);
        }
    }

    /// <summary>Adds the targets of a batch as inputs <c>target_boxes</c>, <c>target_classes</c> and <c>target_count</c>.</summary>
    public static DetectionTargets AddInputs(GraphBuilder builder, long batchSize, long largestCount) => new(
        builder.Input("target_boxes", TensorElementType.Float, [batchSize, largestCount, 4]),
        builder.Input("target_classes", TensorElementType.Int64, [batchSize, largestCount]),
        builder.Input("target_count", TensorElementType.Int64, [batchSize]));

    /// <summary>[N, T, classes]</summary>
    public Value OneHot(int classCount) => Boxes.Builder.Op(
        "OneHot", [Classes, Boxes.Builder.Int64(classCount), Boxes.Builder.Constant(Tensor.Create<float>([0f, 1f], 2))]);

    /// <summary>All of class 0.</summary>
    public DetectionTargets AsObjects() => this with { Classes = Classes * Boxes.Builder.Constant(Tensor.Scalar(0L)) };

    /// <summary>Each several times.</summary>
    public DetectionTargets Repeat(int copyCount)
    {
        var (batch, count) = (Boxes.Shape[0].Value, Boxes.Shape[1].Value);
        var builder = Boxes.Builder;
        return new(
            Boxes.Unsqueeze(2).Expand(builder.Int64(batch, count, copyCount, 4)).Reshape(batch, count * copyCount, 4),
            Classes.Unsqueeze(2).Expand(builder.Int64(batch, count, copyCount)).Reshape(batch, count * copyCount),
            Count * builder.Constant(Tensor.Scalar((long)copyCount)));
    }
}
